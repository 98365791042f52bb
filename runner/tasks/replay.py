"""The task `replay`: one trial of a run again, to see whether it comes out the same."""

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import final

from rich.console import Group, RenderableType
from rich.text import Text

from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.display.tables import plain_table
from runner.errors import ConfigError, RunFailed
from runner.learning_curves import learning_curves
from runner.results import Run
from runner.resume import folder_of
from runner.tasks.task import Task
from runner.trial import ENDS, WEIGHTS, Metrics, Report, Trial, trial_folder

MEASURED = ("latency", "memory")  # figures of a machine, which vary from one look to the next


@final
class Replay(Task):
    """A task that runs a recorded trial in a folder of its own, which is deleted; the run's is only
    read."""

    of_run = True
    uses = ("training",)

    def __init__(self, run: str, trial: int | str) -> None:
        self._run, self._trial = run, trial

    def run(self, settings: Settings, folder: Path) -> None:
        with progress.waiting("reading the run"):
            run = Run(folder_of("run", self._run), settings.trust, settings.secrets)
        trial = run.trials[run.trial(self._trial).owner]
        if trial.refused or trial.running or (trial.stopped and not trial.step):
            state = "was refused, and never ran" if trial.refused else f"is {trial.state}"
            raise ConfigError(f"Trial {trial.number} {state}; there is nothing to compare with.")
        before = [
            point.metrics
            for point in learning_curves(run.folder, [trial.number]).get(trial.number, [])
        ]
        steps = len(before) if trial.stopped else None
        with progress.waiting(f"running trial {trial.number} again"):
            again = _run_again(settings, run, trial, steps)
        where = f"Trial {trial.number} of {text.near(run.folder)}"
        progress.show(_compared(where, trial, before, again))


@dataclass
class _Again:
    """What a trial reported when it ran again."""

    device: str
    is_grouped: bool  # whether it was trained beside others, and now alone
    reports: list[Metrics] = field(default_factory=list)
    end: Report | None = None


def _run_again(settings: Settings, run: Run, trial: Trial, steps: int | None) -> _Again:
    """Runs a trial as it ran; stops it after so many reports, None: when it ends."""
    from runner import parts  # here: this imports torch
    from runner.training.devices import devices

    parts.check(settings)
    settings = settings.model_copy(
        update={"export": settings.export.model_copy(update={"keep_weights": 0})}
    )
    engine = parts.make_engine(settings)
    for other in run.trials:  # as the search knew them when it planned the trial
        if other.number < trial.number:
            engine.observe(other)
    [job] = engine.plan([trial])
    found = _Again(devices(settings.training.get("device", "cpu"), 1, 1)[0], engine.group > 1)

    def hear(report: Report) -> None:
        if report.kind == "started":  # perhaps once more, after a crash
            found.reports.clear()
        elif report.kind == "metrics":
            found.reports.append(report.metrics)
            if len(found.reports) == steps:
                service.stop(report.trial)
        elif report.kind in ENDS:
            found.end = report

    with tempfile.TemporaryDirectory(prefix="runner-") as place:
        _lend_parent(run, trial, Path(place))
        service = parts.make_service(_one_worker(settings), Path(place))
        try:
            service.submit(job)
            while found.end is None:
                service.poll(hear, 1.0)
        finally:
            service.close()
    return found


def _one_worker(settings: Settings) -> Settings:
    training = settings.training
    changes = {"workers": 1} if "workers" in training else {}
    return settings.model_copy(update={"training": {**training, **changes}})


def _lend_parent(run: Run, trial: Trial, place: Path) -> None:
    """Copies the trial that a trial inherited from to where it runs again. Raises ConfigError if
    its weights are gone."""
    if run.settings.weights is None or trial.parent is None:
        return
    owner = run.trials[trial.parent].owner
    source = trial_folder(run.folder, owner) / WEIGHTS
    if not source.is_file():
        raise ConfigError(
            f"Trial {trial.number} inherited the weights of trial {owner}, which were not kept: "
            f"{source} does not exist. export.keep_weights=null keeps all of a run."
        )
    shutil.copytree(source.parent, trial_folder(place, owner))  # its source as well


def _compared(where: str, trial: Trial, before: Sequence[Metrics], again: _Again) -> RenderableType:
    """Says how a trial came out, beside how it had. Raises RunFailed if it differs on a CPU."""
    assert again.end is not None
    failed = again.end.failure
    if failed is not None or trial.failure is not None:
        return _failures(where, trial, again)
    after = again.reports[len(again.reports) - len(before) :]  # a rung goes on with another trial
    nothing: Metrics = {}
    pairs = [*zip_longest(before, after, fillvalue=nothing)]
    worst = _differences(pairs)
    count = text.counted(len(before), "report")
    if not worst:
        varying = [name for name in MEASURED if any(name in step for step in before)]
        but = f", but for {' and '.join(varying)}, which vary" if varying else ""
        are = "is" if len(before) == 1 else "are all"
        return Text(f"{where}, run again on {again.device}: {count} {are} equal bit by bit{but}.")
    differs = f"differs in {text.counted(len(worst), 'metric')} of {count}"
    head = f"{where}, run again on {again.device}, {differs}."
    if again.is_grouped:
        head += " It was trained in a group, fused with others, which changes the last digits."
    elif again.device == "cpu":
        progress.show(_table(worst))
        raise RunFailed(
            f"{head} On a CPU this is due to another version of torch, another machine or number "
            "of threads, code or data that changed, or a model or function that is not determined "
            "by its seed."
        )
    return Group(Text(head), _table(worst))


def _failures(where: str, trial: Trial, again: _Again) -> RenderableType:
    assert again.end is not None
    now = str(again.end.failure) if again.end.failure else "finished"
    then = str(trial.failure) if trial.failure else "finished"
    if text.kind(now) == text.kind(then):
        return Text(f"{where} failed again, in the same way: {text.sentence(now)}")
    return Text(f"{where} {_ended(then)} then, and {_ended(now)} now.")


def _ended(how: str) -> str:
    return how if how == "finished" else f"failed ({text.sentence(how).rstrip('.')})"


@dataclass(frozen=True)
class _Deviation:
    name: str
    report: int  # the number of the first one that differs
    before: float | None
    after: float | None
    largest: float  # of all reports


def _differences(pairs: Sequence[tuple[Metrics, Metrics]]) -> list[_Deviation]:
    """Returns how far metrics are off that are not equal, or that only one side has."""
    found: dict[str, _Deviation] = {}
    for place, (before, after) in enumerate(pairs, start=1):
        for name in before.keys() | after.keys():
            if name.partition("/")[0] in MEASURED:
                continue
            a, b = before.get(name), after.get(name)
            if a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b)):
                continue
            off = math.inf if a is None or b is None else abs(a - b)
            first = found.get(name)
            largest = off if first is None else max(first.largest, off)
            first = first or _Deviation(name, place, a, b, off)
            found[name] = _Deviation(name, first.report, first.before, first.after, largest)
    return sorted(found.values(), key=lambda one: one.name)


def _table(worst: Sequence[_Deviation]) -> RenderableType:
    table = plain_table()
    for head in ("metric", "first differs in report", "then", "now", "largest difference"):
        table.add_column(head, justify="left" if head == "metric" else "right")
    for one in worst:
        then, now = ("" if v is None else repr(v) for v in (one.before, one.after))
        table.add_row(text.clean(one.name), str(one.report), then, now, f"{one.largest:.3g}")
    return table
