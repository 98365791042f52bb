"""Real searches: two workers on one device, against the same trials one after another."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from device_task import NO_TIME, Row, SkipPart, Task, checked, claimed, noted, skipped

from runner.store import read
from runner.trial import Trial

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("hydra", "omegaconf", "pydantic", "filelock", "rich", "sklearn")
NEAR = 1e-2  # relative error of final losses: kernels need not add in one order
COMMON = (
    "space=mlp", "space.dropouts=[0.0]", "data=digits", "strategy=random", "report=null",
    "export.top=1", "export.source=import",
)  # fmt: skip


def run(task: Task) -> Iterator[Row]:
    """Search with both services, and compare their trials."""
    for name in NEEDED:
        if find_spec(name) is None:
            raise SkipPart(f"no module named {name!r}")
    count, epochs = (3, 2) if task.quick else (12, 8)
    size = (f"budget.trials={count}", f"evaluator.epochs={epochs}")
    own = (f"training.device={task.device}",)
    two = ("training.workers_per_device=2",) if task.is_cuda else ("training.workers=2",)
    with tempfile.TemporaryDirectory() as folder:
        one, both = Path(folder, "one"), Path(folder, "two")
        start = time.perf_counter()
        yield _ran("two workers on one device", both, ("training=local", *own, *two, *size), task)
        at_once = time.perf_counter() - start
        if not both.exists():
            return
        trials = read(both).trials
        yield from _ended(trials, count)
        yield from _at_once(trials)
        if task.left < at_once / 2:
            yield skipped("the same trials, one after another", NO_TIME)
            return
        start = time.perf_counter()
        yield _ran("one after another, inline", one, ("training=inline", *own, *size), task)
        alone = time.perf_counter() - start
        if one.exists():
            yield _equal(trials, read(one).trials)
            text = f"{count} trials: {at_once:.1f} s on two workers, {alone:.1f} s inline"
            yield noted(f"{text}, with the start of all processes.")


def _ran(name: str, folder: Path, settings: Sequence[str], task: Task) -> Row:
    command = [sys.executable, "-m", "runner", *COMMON, *settings, f"hydra.run.dir={folder}"]
    try:
        done = subprocess.run(
            command, cwd=folder.parent, env=os.environ | {"PYTHONPATH": _path()},
            capture_output=True, text=True, timeout=max(1.0, task.left),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return skipped(name, NO_TIME)
    said = " ".join((done.stderr or done.stdout).split())[-300:]
    return claimed(f"{name}: the search ends well", done.returncode == 0, said)


def _path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _ended(trials: Sequence[Trial], count: int) -> Iterator[Row]:
    finished = [trial for trial in trials if trial.scored]
    why = f"{len(finished)} of {count}; {[str(t.failure) for t in trials if t.failure][:2]}"
    yield claimed("all trials finish", len(finished) == count, why)


def _at_once(trials: Sequence[Trial]) -> Iterator[Row]:
    """Whether two trials ran at a time, and never three."""
    spans = [(t.started_at, t.ended_at) for t in trials if t.started_at and t.ended_at]
    most = max((sum(a <= at < b for a, b in spans) for at, _ in spans), default=0)
    yield claimed("two trials run at a time", most == 2, f"{most} did")


def _equal(ours: Sequence[Trial], theirs: Sequence[Trial]) -> Row:
    pairs = zip(ours, theirs, strict=False)
    apart = [
        abs(a.metrics["val/loss"] / b.metrics["val/loss"] - 1) if a.sample == b.sample else 1e300
        for a, b in pairs
        if a.scored and b.scored
    ]
    return checked("val/loss of a trial, two workers and inline", max(apart, default=1e300), NEAR)
