"""The promises of `docs/how-to/operations.md`: each has a test; and those about two machines."""

import ast
import importlib.util
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from runner.errors import ConfigError
from runner.goals import Goals, Objective
from runner.store import HOLDER, LOCK, Store, delete_unbegun, writer

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "operations.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)(?:::(\w+))?`")
ROW = re.compile(r"^\| (\d+) \|", flags=re.MULTILINE)
GOALS = Goals((Objective("acc", "max"),))

# What reads the time of day, and for what: the driver alone, and to show it.
OF_DAY = {
    "store.py": "the times of events, all by the driver",
    "launch.py": "the name of the folder of a new run",
    "display/progress.py": "how long a trial has run, as it is shown",
}
# What compares the times of files, and with what.
OF_FILES = {
    "training/trial_files.py": "a file with itself, earlier",
    "training/interruptions.py": "a checkpoint with itself, earlier",
    "tasks/list.py": "records with each other, to name the latest",
}


def ids_on_page() -> list[tuple[str, ...]]:
    return [tuple(filter(None, found)) for found in TEST.findall(PAGE.read_text())]


def functions(path: Path) -> Iterator[str]:
    """The tests of a file; those of a class with its name before."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield from (
                f"{node.name}::{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)
            )


def test_each_test_that_the_page_names_is_there():
    named = ids_on_page()
    assert len(named) > 40
    for path, *names in named:
        assert "::".join(names) in {*functions(ROOT / path)}, (path, names)


@pytest.mark.exhaustive
def test_each_test_that_the_page_names_is_collected():
    absent = () if importlib.util.find_spec("ray") else ("tests/training/test_ray_real.py",)
    ids = sorted({"::".join(one) for one in ids_on_page() if not one[0].startswith(absent)})
    command = [
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "-q",
        "--collect-only",
        "-m",
        "",
    ]
    done = subprocess.run(
        [sys.executable, *command, *ids], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_each_promise_has_a_test():
    promised, behind = PAGE.read_text().split("## The test behind each promise")
    numbers = ROW.findall(promised)
    assert numbers == [str(i + 1) for i in range(len(numbers))]
    rows = [line for line in behind.splitlines() if ROW.match(line)]
    assert [ROW.match(row)[1] for row in rows] == numbers
    assert all(TEST.search(row) for row in rows)


# Two machines


@pytest.fixture
def elsewhere(tmp_path) -> Iterator[tuple[Path, int]]:
    """The folder of a run whose driver is another process, which says that it is on another
    machine, and that process."""
    code = f"""
import socket, sys
sys.path[:0] = {sys.path!r}
socket.gethostname = lambda: "node17"
from runner.goals import Goals, Objective
from runner.store import Store
from pathlib import Path
with Store(Path({str(tmp_path)!r}), Goals((Objective("acc", "max"),))) as store:
    store.begin({{"objective": {{"metric": "acc", "mode": "max"}}}})
    list(store.replay())
    print("begun", flush=True)
    sys.stdin.readline()
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert driver.stdout is not None and driver.stdout.readline() == "begun\n"
    yield tmp_path, driver.pid
    driver.communicate("\n")


def test_a_driver_on_another_machine_is_named_and_changes_nothing(elsewhere):
    folder, pid = elsewhere
    files = [folder / "run.db", folder / HOLDER]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    told = f"is in use by another run \\(process {pid} on node17\\)"
    with pytest.raises(ConfigError, match=told) as error:
        Store(folder, GOALS)
    assert "\n" not in str(error.value)
    assert writer(folder) == f" (process {pid} on node17)"
    assert not delete_unbegun(folder)
    assert before == [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]


def test_a_driver_that_was_killed_on_another_machine_locks_nobody_out(tmp_path):
    (tmp_path / HOLDER).write_text(json.dumps({"host": "node17", "pid": 1}))
    (tmp_path / LOCK).touch()
    with Store(tmp_path, GOALS):
        found = json.loads((tmp_path / HOLDER).read_text())
    assert found["host"] == socket.gethostname()


def test_a_holder_that_cannot_be_read_is_another_process(tmp_path):
    with Store(tmp_path, GOALS):
        for text in ("", "{}", "[1]", '{"host": "a"}', "\0"):
            (tmp_path / HOLDER).write_text(text)
            with pytest.raises(ConfigError, match=r"is in use by another run\.$"):
                Store(tmp_path, GOALS)
    lock = FileLock(tmp_path / LOCK)
    lock.acquire(timeout=0)  # released with the store
    lock.release()


# Clocks


def clocks(path: Path) -> set[str]:
    """What a file reads that tells the time of day."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(
                value=ast.Name(id="time"), attr="time" | "time_ns" | "gmtime" | "localtime" as name
            ):
                found.add(name)
            case ast.Attribute(
                attr="now" | "utcnow" | "today" as name, value=ast.Name(id="datetime" | "date")
            ):
                found.add(name)
            case ast.ImportFrom(module="time", names=names) if any(n.name == "time" for n in names):
                found.add("time")
            case ast.Attribute(attr="st_mtime" | "st_mtime_ns" | "st_ctime" | "st_ctime_ns"):
                found.add("file")
    return found


def test_no_decision_depends_on_the_clock_of_another_machine():
    """Where time decides, it is counted by the clock that runs since a machine was started, which
    no other machine has; only these read the time of day, or that of files."""
    ours = {path.relative_to(ROOT / "runner").as_posix(): clocks(path)
            for path in (ROOT / "runner").rglob("*.py")}  # fmt: skip
    assert {name for name, found in ours.items() if found - {"file"}} == {*OF_DAY}
    assert {name for name, found in ours.items() if "file" in found} == {*OF_FILES}


def test_what_workers_say_has_no_time_of_their_clock():
    from dataclasses import fields

    from runner.trial import Job, Report, Setup

    names = {field.name for kind in (Job, Report, Setup) for field in fields(kind)}
    assert not [name for name in names if re.search(r"time|when|date|_at\b|clock", name)]


def test_a_record_goes_on_though_the_clock_was_put_back(tmp_path, monkeypatch):
    """As after a driver moved to a machine whose clock is behind."""
    from runner.store import read
    from runner.trial import Proposal

    now = 2e9
    monkeypatch.setattr("runner.store.time.time", lambda: now)
    with Store(tmp_path, GOALS) as store:
        store.begin({"objective": {"metric": "acc", "mode": "max"}})
        list(store.replay())
        store.propose(Proposal({"x": 1}), seed=1, key="1", duplicate_of=None)
        store.record(0, "started", {})
    now = 1e9
    with Store(tmp_path, GOALS) as store:
        list(store.replay())
        store.record(0, "started", {})
        store.record(0, "finished", {"acc": 0.5})
    [trial] = read(tmp_path).trials
    assert trial.score == 0.5 and trial.seconds == 0.0
