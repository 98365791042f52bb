"""All of a trial can be read at any width: no value vanishes, and no path is broken."""

import io
import time
from pathlib import Path

import pytest
import rich
from rich.cells import cell_len
from rich.console import Console

from runner.display import progress
from runner.display.trial_details import trial_details
from runner.goals import Goals, Objective
from runner.trial import State, Trial, trial_folder

GOALS = Goals((Objective("val/accuracy", "max"),))
LABEL = "backbone/stage1/block0/inverted_residual/expansion_width"
SAMPLE = {LABEL: 512, "漢字のラベル": "とても長い名前", "depth": 3}


@pytest.mark.parametrize("width", [40, 80, 160])
def test_every_value_of_a_sample_and_every_path_can_be_read(width, tmp_path, monkeypatch):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None,
                      legacy_windows=False, _environ={"TERM": "xterm"})  # fmt: skip
    monkeypatch.setattr(rich, "_console", console)
    folder = tmp_path / "a folder with spaces and a name that is long" / "漢字"
    weights = trial_folder(folder, 0) / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"12")
    now = time.time()
    trial = Trial(0, SAMPLE, 1, State.FINISHED, {"val/accuracy": 0.5}, 1, (0.5,), started_at=now,
                  ended_at=now + 2)  # fmt: skip
    progress.show(*trial_details(trial, GOALS, [], 1, folder))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert f"{weights}  2 B" in lines
    whole = "".join(line.strip() for line in lines)
    for label, value in SAMPLE.items():
        assert f"{label}{value}" in whole.replace(" ", "")
    others = [line for line in lines if str(tmp_path) not in line]
    assert all(cell_len(line) <= width for line in others)


def test_names_and_values_stand_side_by_side_where_they_fit(monkeypatch):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None,
                      _environ={"TERM": "xterm"})  # fmt: skip
    monkeypatch.setattr(rich, "_console", console)
    trial = Trial(0, SAMPLE, 1)
    progress.show(*trial_details(trial, GOALS, [], None, Path("nowhere")))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert f"{LABEL}  512" in lines and lines[-1] == "none are kept"
