"""Learning curves: what the trials of a run reported, epoch by epoch."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import final

from runner.events import Event
from runner.store import recorded_events, trial_events
from runner.trial import Metrics


@final
@dataclass(frozen=True)
class CurvePoint:
    """One report of a trial, usually of an epoch."""

    time: float  # seconds since the epoch
    metrics: Metrics  # of this report alone


@final
class LearningCurves:
    """A fold over the events of a record: the reports of each trial that has started, in order. Of
    a trial that was started again, only those of the last start. A trial that shares the result of
    another has none of its own."""

    def __init__(self, trials: Collection[int] | None = None) -> None:
        """`trials` are those wanted; None: all."""
        self.found: dict[int, list[CurvePoint]] = {}
        self._wanted = trials

    def see(self, event: Event) -> None:
        """Takes the next event."""
        if event.trial is None or (self._wanted is not None and event.trial not in self._wanted):
            return
        if event.kind == "started":
            self.found[event.trial] = []
        elif event.kind == "metrics":
            self.found[event.trial].append(CurvePoint(event.time, event.data))


def learning_curves(
    folder: Path, trials: Collection[int] | None = None
) -> dict[int, list[CurvePoint]]:
    """Returns the reports of trials in a record, see `LearningCurves`. Only reads, also while the
    run goes on; of some trials, only what is recorded of them. Raises like `runner.store.read`."""
    curves = LearningCurves(trials)
    events = recorded_events(folder) if trials is None else trial_events(folder, trials)
    for event in events:
        curves.see(event)
    return curves.found
