"""Real searches: two workers on one device, against the same trials one after another; and a trial
after which CUDA does nothing more for its process."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from device_models import BREAKS
from device_task import NO_TIME, Row, SkipPart, Task, checked, claimed, noted, skipped

from runner.store import read
from runner.trial import Trial

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("hydra", "omegaconf", "pydantic", "filelock", "rich", "sklearn")
LEAST = 10.0  # seconds that a search takes
NEAR = 1e-2  # relative error of final losses: kernels need not add in one order
COMMON = (
    "space=mlp", "space.dropouts=[0.0]", "data=digits", "strategy=random", "report=null",
    "export.top=1", "export.source=import",
)  # fmt: skip


def run(task: Task) -> Iterator[Row]:
    """Search with both services, and compare their trials; then break one."""
    for name in NEEDED:
        if find_spec(name) is None:
            raise SkipPart(f"no module named {name!r}")
    with tempfile.TemporaryDirectory() as folder:
        yield from _compared(Path(folder), task)
        if task.left > LEAST:
            yield from _broken(Path(folder, "broken"), task)
        else:
            yield skipped("a trial that breaks CUDA", NO_TIME)


def _compared(folder: Path, task: Task) -> Iterator[Row]:
    """The same trials on two workers of one device, and one after another in one process."""
    count, epochs = (3, 2) if task.quick else (24, 20)
    size = (f"budget.trials={count}", f"evaluator.epochs={epochs}")
    common = (*COMMON, *size, f"training.device={task.device}")
    two = "training.workers_per_device=2" if task.is_cuda else "training.workers=2"
    ways = {"two workers on one device": ("training=local", two),
            "one after another, inline": ("training=inline",)}  # fmt: skip
    found: dict[str, Sequence[Trial]] = {}
    seconds = []
    for place, (name, own) in enumerate(ways.items()):
        run_folder = folder / str(place)
        start = time.perf_counter()
        ended = _ran(name, run_folder, (*common, *own), task)
        yield ended
        seconds.append(time.perf_counter() - start)
        if "checks" in ended and run_folder.exists():
            found[name] = read(run_folder).trials
            yield from _ended(name, found[name], count)
    if two_ := found.get("two workers on one device"):
        yield from _at_once(two_)
    if len(found) == len(ways):
        yield _equal(*found.values())
        both, one = seconds
        text = f"{count} trials: {both:.1f} s on two workers, {one:.1f} s inline"
        yield noted(f"{text}, with the start of all processes.")


def _broken(folder: Path, task: Task) -> Iterator[Row]:
    """A search in which one trial leaves a process without its GPU."""
    settings = (
        "engine=py", "space._target_=device_models.Breaking", "trust=[device_models]",
        "strategy=grid", "data=digits", "report=null", "export.top=0", "export.keep_weights=0",
        "training=local", f"training.device={task.device}", "budget.trials=8",
        "evaluator.epochs=1", "training.retries=0",
        "training.workers=1" if not task.is_cuda else "training.workers_per_device=1",
    )  # fmt: skip
    ended = _ran("a trial that breaks CUDA", folder, settings, task)
    yield ended
    if "checks" not in ended or not folder.exists():
        return
    trials = read(folder).trials
    broke = [trial.number for trial in trials if trial.failed]
    one = [trial.number for trial in trials if trial.sample.get("number") == BREAKS]
    why = f"{[(trial.number, str(trial.failure)) for trial in trials if trial.failed][:3]}"
    yield claimed("it fails alone: 7 others finish on its worker, or the next",
                  broke == one and len(trials) == 8, why)  # fmt: skip
    yield noted(f"The trial that broke CUDA: {trials[one[0]].failure}.")


def _ran(name: str, folder: Path, settings: Sequence[str], task: Task) -> Row:
    """Run a search; a check of how it ended, unless there was no time for it to end."""
    command = [sys.executable, "-m", "runner", *settings, f"hydra.run.dir={folder}"]
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
    return os.pathsep.join(
        [str(ROOT), str(ROOT / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])]
    )


def _ended(name: str, trials: Sequence[Trial], count: int) -> Iterator[Row]:
    finished = [trial for trial in trials if trial.scored]
    why = f"{len(finished)} of {count}; {[str(t.failure) for t in trials if t.failure][:2]}"
    yield claimed(f"{name}: all trials finish", len(finished) == count, why)


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
