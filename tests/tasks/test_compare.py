"""`task=compare` shows runs beside each other, and a sweep ends with that."""

import io
import sys
from xml.etree import ElementTree

import pytest
from rich.console import Console
from searches import MLP

import runner
from runner import __main__ as program
from runner import method_plot
from runner.errors import ConfigError
from runner.tasks.compare import MethodTable

SWEEP = ["-m", *MLP, "strategy=random,evolution", "seed=0,1", "budget.trials=2", "export.top=0",
         "evaluator.epochs=1"]  # fmt: skip


def test_a_sweep_ends_with_a_table_and_can_be_compared_again(here, monkeypatch, output):
    monkeypatch.setattr(sys, "argv", ["runner", *SWEEP, "hydra.sweep.dir=sweep"])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 0, output.getvalue()
    said = output.getvalue()
    lines = said.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("method"))
    rows = {line.split()[0]: line.split()[1:3] for line in lines[place + 1 : place + 3]}
    assert rows == {"Random": ["2", "2"], "Evolution": ["2", "2"]}
    assert "2 pairs of equal seeds" in said
    assert "python -m runner task=compare runs=sweep" in said
    monkeypatch.setattr(method_plot, "is_plottable", lambda: False)
    output.truncate(0)
    assert runner.run(["task=compare", "runs=[sweep/0, sweep/1, sweep/2, sweep/3]"]) is None
    assert "method" in output.getvalue()


METHODS = [("TPE, evaluator.epochs=8, budget.trials=20", "3", "20", "0.9512 ±0.0100",
            "0.9400 to 0.9600"), ("漢字の方法, seed=1", "1", "20", "0.9000", "")]  # fmt: skip
HEADS = ("runs", "trials", "best val/accuracy", "worst to best seed")


@pytest.mark.parametrize(("width", "is_table"), [(40, False), (80, False), (160, True)])
def test_a_table_that_would_squeeze_its_methods_is_stacked(width, is_table):
    console = Console(file=io.StringIO(), width=width, legacy_windows=False)
    console.print(MethodTable(HEADS, METHODS))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert (lines[0].split()[0] == "method") is is_table
    said = " ".join(" ".join(lines).split())
    for name, *figures in METHODS:
        assert all(cell in said for cell in (name, *figures))
    if not is_table:
        assert METHODS[1][0] in lines and lines[-1].startswith("  ")
        assert said.endswith("best val/accuracy 0.9000")  # one seed has no worst


def test_runs_are_drawn(searched, tmp_path, output):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    runner.run(["task=compare", f"runs={searched}"], tmp_path / "pictures")
    assert "All runs have one config, but for their seeds." in output.getvalue()
    image = (tmp_path / "pictures" / "comparison.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    drawing = ElementTree.parse(tmp_path / "pictures" / "comparison.svg").getroot()
    assert drawing.tag.endswith("svg")


def test_without_the_library_the_table_is_shown_and_how_to_get_it(searched, monkeypatch, output):
    from runner.tasks import compare

    monkeypatch.setattr(compare, "is_plottable", lambda: False)
    runner.run(["task=compare", f"runs={searched}"])
    assert 'A picture needs matplotlib: pip install "nas-runner[plot]".' in output.getvalue()


def test_runs_that_cannot_be_read_are_said(here, output):
    (here / "empty").mkdir()
    (here / "empty" / "run.db").touch()
    with pytest.raises(ConfigError, match="None of the runs can be read"):
        runner.run(["task=compare", "runs=empty"])
    assert "Left out, since they cannot be read: empty" in output.getvalue()


@pytest.mark.parametrize("override, text", [
    ("runs=[]", "it must be a list of folders"), ("runs=[nope]", "runs names 'nope'"),
    ("runs=5", "runs"), ("runs={a: 1}", "runs"), ("seed=1", "runs"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(override, text, here):
    with pytest.raises(ConfigError, match=text) as caught:
        runner.run(["task=compare", override])
    assert "\n" not in str(caught.value)
