"""The script of Plotly is taken as it is, if it may stand in a page at all."""

import sys
from types import SimpleNamespace

import pytest

from runner.report.plotly_script import plotly_script

ID = "ab" * 32


def install(monkeypatch, source):
    offline = SimpleNamespace(get_plotlyjs=lambda: source)
    monkeypatch.setitem(sys.modules, "plotly", SimpleNamespace(offline=offline))
    monkeypatch.setitem(sys.modules, "plotly.offline", offline)


def test_the_ids_under_which_it_would_add_styles_are_found(monkeypatch):
    install(monkeypatch, f'if(!document.getElementById("{ID}"))style();getElementById("other")')
    assert plotly_script().ids == [ID]


@pytest.mark.parametrize("source", ["a='</script>'", "a='<!--'", "a\r\nb", "'</SCRIPT'"])
def test_a_script_that_would_end_its_element_is_left_out(source, monkeypatch):
    install(monkeypatch, source)
    assert plotly_script() is None


def test_without_the_extra_there_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert plotly_script() is None


def test_that_of_the_library_can_be_used():
    pytest.importorskip("plotly", reason='needs pip install "nas-runner[report]"')
    found = plotly_script()
    assert found is not None
    assert len(found.source) > 1_000_000
