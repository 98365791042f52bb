"""`task=list` finds the runs below a folder, and one that cannot be read hides no other."""

import io
import shutil
import time

import pytest
import rich
from records import BEGUN, PROPOSED, STARTED, write
from rich.console import Console

import runner
from runner.display import progress
from runner.errors import ConfigError
from runner.store import RECORD
from runner.tasks import list as listing


def listed(output, folder) -> list[str]:
    assert runner.run(["task=list", f"run={folder}"]) is None
    return output.getvalue().splitlines()


def test_each_run_is_a_line_with_state_and_best(searched, tmp_path, output):
    shutil.copytree(searched, tmp_path / "a" / "done")
    write(tmp_path / "b" / "cut", BEGUN, PROPOSED, STARTED)
    write(tmp_path / "bad", BEGUN)
    (tmp_path / "bad" / RECORD).write_bytes(b"no database at all, but long enough" * 9)
    (tmp_path / "latest").symlink_to(tmp_path / "a" / "done")
    lines = listed(output, tmp_path)
    assert lines[0].split() == ["begun", "folder", "what", "state", "best"]
    assert len([line for line in lines if "a/done" in line]) == 1, "latest is no run of its own"
    done = next(line for line in lines if "a/done" in line)
    best = runner.load(searched).best.metrics["val/accuracy"]
    assert "MLP with Random, engine py" in done and "done, 4 of 4 trials" in done
    assert done.endswith(f"val/accuracy {best:.4f}")
    assert "cut after 0 of 2 trials" in next(line for line in lines if "b/cut" in line)
    assert "cannot be read" in next(line for line in lines if "/bad" in line)
    assert lines[-1].endswith(f"python -m runner resume={tmp_path / 'b' / 'cut'}")


@pytest.fixture
def narrow(monkeypatch):
    console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None,
                      _environ={"TERM": "dumb"})  # fmt: skip
    monkeypatch.setattr(rich, "_console", console)
    return console.file


def test_a_narrow_terminal_gets_commands_in_one_line_and_the_rest_indented(tmp_path, narrow):
    write(tmp_path / "cut" / ("a" * 50), BEGUN, PROPOSED, STARTED)
    assert runner.run(["task=list", f"run={tmp_path}"]) is None
    lines = narrow.getvalue().splitlines()
    about = [line for line in lines[:-1] if line.startswith("  ")]
    assert len(about) > 1 and about == lines[-1 - len(about) : -1]
    assert " ".join(" ".join(about).split()).endswith("cut after 0 of 2 trials; no result")
    assert lines[-1].endswith(f"python -m runner resume={tmp_path}/cut/{'a' * 50}")


def test_a_long_look_for_runs_is_told(tmp_path, narrow, monkeypatch):
    def slow(below):
        while not narrow.getvalue():
            time.sleep(0.01)
        yield from ()

    monkeypatch.setattr(progress, "LONG_MOMENT", 0.0)
    monkeypatch.setattr(listing, "runs_below", slow)
    assert runner.run(["task=list", f"run={tmp_path}"]) is None
    assert "Looking for runs ..." in narrow.getvalue()


def test_a_run_that_is_being_written_is_said_to_run(tmp_path, output):
    from runner.goals import Goals, Objective
    from runner.store import Store

    write(tmp_path / "run", BEGUN, PROPOSED, STARTED)
    with Store(tmp_path / "run", Goals((Objective("val/accuracy", "max"),))):
        assert any("running, 0 of 2 trials ended (process " in line
                   for line in listed(output, tmp_path))  # fmt: skip


def test_no_run_and_no_folder_are_said(tmp_path, output):
    assert listed(output, tmp_path)[-1].startswith("There is no run in or below ")
    with pytest.raises(ConfigError, match="which is no folder"):
        listed(output, tmp_path / "nope")
