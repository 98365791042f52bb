"""The word of a user that says what reads a model."""

from types import SimpleNamespace

import pytest

from runner.errors import ConfigError, GraphError
from runner.graph.frontend import frontends
from runner.graph.frontend.frontends import FRONTENDS, ORDER, before, usable


@pytest.fixture
def newer(monkeypatch):
    """A Python that TorchScript does not support."""
    monkeypatch.setattr(frontends, "sys", SimpleNamespace(version_info=(3, 14, 0)))


def test_each_front_end_has_a_place_in_the_order():
    assert {*ORDER} == {*FRONTENDS}
    assert usable("auto") == ORDER
    assert [usable(name) for name in ORDER] == [(name,) for name in ORDER]


def test_those_before_one_are_told():
    assert before("") == before(ORDER[0]) == ()
    assert before(ORDER[1]) == ORDER[:1]


def test_another_word_is_refused_with_those_that_are_right():
    with pytest.raises(GraphError) as caught:
        usable("torchscrpt")
    assert str(caught.value) == (
        "frontend is 'torchscrpt'; it must be one of auto, python, torchscript. Did you mean "
        "'torchscript'?"
    )


@pytest.mark.parametrize("word", [None, 1, ""])
def test_what_is_no_word_is_refused_too(word):
    with pytest.raises(ConfigError, match="it must be one of auto, python, torchscript"):
        usable(word)


def test_a_python_without_torchscript_is_read_from_source(newer):
    assert usable("auto") == usable("python") == ("python",)


def test_torchscript_is_refused_where_it_is_not_supported(newer):
    with pytest.raises(GraphError) as caught:
        usable("torchscript", "engine.frontend")
    assert str(caught.value) == (
        "engine.frontend is 'torchscript', but TorchScript supports Python up to 3.13, and this is "
        "3.14; use engine.frontend=python, or Python 3.13."
    )
