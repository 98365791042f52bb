"""The task `check`: tries samples of a search for a step each, before it takes a week."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner import parts
from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.display.tables import GAP
from runner.engines.engine import Engine
from runner.errors import Refused, RunFailed, RunnerError, refusal, require
from runner.failures import located
from runner.goals import Goals
from runner.rehearsal import rehearse
from runner.space.sample import DrawError, Sample, generator
from runner.space.space import Space
from runner.tasks.task import Task
from runner.training.devices import devices
from runner.trial import (
    REFUSED,
    Failure,
    Job,
    Metrics,
    Report,
    Trial,
    epochs_of,
    trial_folder,
    trial_seed,
)
from runner.trial_check import EPOCH, MEMORY, STEP

DRAWS = 5  # times as many random samples, among which enough different ones are looked for
LINES = 10  # kinds of failures that are shown


@final
class Check(Task):
    """A task that trains nothing to the end, and leaves files only of what failed."""

    def __init__(self, samples: int) -> None:
        require(samples >= 1, "task.samples", samples, "at least 1")
        self._count = samples

    def run(self, settings: Settings, folder: Path) -> None:
        parts.check(settings)
        with progress.waiting("building the default model"):
            engine = parts.make_engine(settings)
            space = parts.make_space(settings, engine)
            parts.make_strategy(parts.with_first_samples(settings, space), space)
            rehearse(settings, engine)
        tried = [*_tries(engine, space, settings, self._count)]
        place = folder / "check"
        found, slots = _run(settings, engine, tried, place)
        failed = [one for one in found if one.failure is not None and not one.is_refused]
        progress.show(_head(settings, found), *_failures(failed, place))
        worked = [one for one in found if one.failure is None]
        progress.show(*_estimate(settings, worked, slots))
        kept = {one.trial.number for one in failed}
        for one in found:
            if one.trial.number not in kept:
                shutil.rmtree(trial_folder(place, one.trial.number), ignore_errors=True)
        if not failed:
            shutil.rmtree(place, ignore_errors=True)
            return
        raise RunFailed(
            f"{len(failed)} of {len(found)} samples fail; a search would go on with others."
        )


@dataclass(frozen=True)
class _Try:
    """A sample, and how it went."""

    trial: Trial
    failure: Failure | None = None
    metrics: Metrics | None = None

    @property
    def is_refused(self) -> bool:
        return self.failure is not None and self.failure.reason == REFUSED


def _tries(engine: Engine, space: Space, settings: Settings, count: int) -> Iterator[_Try]:
    """Yields different samples, the default one first; of those that have no valid model, why."""
    seen: set[str] = set()
    numbers = progress.track(range(DRAWS * count), "drawing, converting and generating models")
    for number in numbers:
        try:
            sample = (
                space.walk(lambda choice: choice.default).sample
                if not number
                else (space.random(generator(settings.seed, "check", number)))
            )
            sample = _to_the_end(sample, settings)
            trial = Trial(len(seen), sample, trial_seed(settings.seed, number))
            failure = None
            key = engine.key(sample)
        except (Refused, DrawError) as error:
            refused = refusal(error)
            sample = getattr(error, "sample", None) or {}
            trial = Trial(len(seen), sample, 0)
            failure = Failure.refused(refused) if refused else located(error)
            key = f"{number}"
        except RunnerError as error:
            trial, failure, key = Trial(len(seen), sample, 0), located(error), f"{number}"
        if key not in seen:
            seen.add(key)
            yield _Try(trial, failure)
        if len(seen) == count:
            return


def _to_the_end(sample: Sample, settings: Settings) -> Sample:
    fidelity = Goals.of_settings(settings).fidelity
    return sample if fidelity is None else {**sample, fidelity.key: fidelity.max}


def _run(
    settings: Settings, engine: Engine, tried: Sequence[_Try], folder: Path
) -> tuple[list[_Try], int]:
    """Runs each sample for a step in a worker; returns how all went, in their order, and how many
    run at once."""
    found = {one.trial.number: one for one in tried}
    waiting = [one.trial for one in tried if one.failure is None]
    service = parts.make_service(settings, folder)
    running: set[int] = set()

    def hear(report: Report) -> None:
        if report.kind in ("finished", "failed", "stopped"):
            before = found[report.trial]
            found[report.trial] = replace(before, failure=report.failure, metrics=report.metrics)
            running.discard(report.trial)

    try:
        for trial in progress.track(waiting, "training for a step"):
            [job] = engine.plan([trial])
            service.submit(Job(job.trials, job.seeds, job.samples, job.recipes, action="check"))
            running.add(trial.number)
            while len(running) >= service.slots:
                service.poll(hear, 1.0)
        with progress.waiting("training for a step"):
            while running:
                service.poll(hear, 1.0)
    finally:
        service.close()
    return [*found.values()], service.slots


def _head(settings: Settings, found: Sequence[_Try]) -> RenderableType:
    device = devices(settings.training.get("device", "cpu"), 1, 1)[0]
    if (several := _devices_per_trial(settings)) > 1:
        device += f", on {several} devices together"
    refused = sum(one.is_refused for one in found)
    works = sum(one.failure is None for one in found)
    fails = len(found) - works - refused
    counts = {"work": works, "are refused": refused, "fail": fails}
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return Text(f"{text.counted(len(found), 'sample')} for a step each on {device}: {said}.")


def _failures(failed: Sequence[_Try], folder: Path) -> Iterator[RenderableType]:
    """Yields a table of what failed and where: the most frequent kinds first."""
    if not failed:
        return
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(justify="right")
    grid.add_column(overflow="fold")
    kinds = text.by_kind(failed, lambda one: text.sentence(str(one.failure)))
    for said, [first, *others] in kinds[:LINES]:
        grid.add_row(str(1 + len(others)), Text(said))
        grid.add_row("", Text(f"such as {text.pairs(first.trial.sample)}", style="dim"))
        trace = trial_folder(folder, first.trial.number) / "error.txt"
        if trace.is_file():
            grid.add_row("", Text(f"traceback in {text.near(trace.absolute())}", style="dim"))
    yield Group(Text("Failed", style="bold"), grid)


def _estimate(settings: Settings, worked: Sequence[_Try], slots: int) -> Iterator[RenderableType]:
    """Yields how much time and memory the search will take, by what its samples took, if so many
    trials run at once."""
    known = [one for one in worked if one.metrics]
    if not known:
        return
    peak = max((one.metrics or {})[MEMORY] for one in known)
    timed = [one for one in known if EPOCH in (one.metrics or {})]
    if timed:
        steps = [(one.metrics or {})[STEP] for one in timed]
        spans = [_seconds(one, settings) for one in timed]
        count = settings.budget.trials * settings.repeat
        total = mean(spans) * count / slots
        yield Text(
            f"A step takes {text.seconds(mean(steps))}, a trial {text.duration(mean(spans))} "
            f"({text.duration(min(spans))} to {text.duration(max(spans))}); "
            f"{text.counted(count, 'trial')}, {slots} at once: about {text.duration(total)}"
            f"{_besides(settings)}."
        )
    several = _devices_per_trial(settings)
    whose = "a worker" if several == 1 else f"the first of {several} devices of a worker"
    yield Text(f"Peak memory of {whose}: {text.size(peak)}.")


def _devices_per_trial(settings: Settings) -> int:
    count: int = settings.training.get("devices_per_trial", 1)
    return count


def _seconds(one: _Try, settings: Settings) -> float:
    epochs = epochs_of(one.trial.sample, settings.evaluator.get("epochs")) or 1
    return epochs * (one.metrics or {})[EPOCH]


def _besides(settings: Settings) -> str:
    """Names what makes the search take more or less than all its trials."""
    fewer = [settings.fidelity is not None or not settings.stopper["_target_"].endswith("Never")]
    more = [settings.confirm is not None or settings.compare is not None]
    less = " at most, since trials end early" if any(fewer) else ""
    return less + (", and more to confirm or compare" if any(more) else "")
