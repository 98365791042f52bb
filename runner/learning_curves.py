"""Learning curves: what the trials of a run reported, epoch by epoch."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import final

from runner.store import recorded_events
from runner.trial import Metrics


@final
@dataclass(frozen=True)
class CurvePoint:
    """One report of a trial, usually of an epoch."""

    time: float  # seconds since the epoch
    metrics: Metrics  # of this report alone


def learning_curves(
    folder: Path, trials: Collection[int] | None = None
) -> dict[int, list[CurvePoint]]:
    """Returns the reports of each trial that has started, in order; `trials` are those wanted,
    None: all. Of a trial that was started again, only those of the last start. A trial that shares
    the result of another has none of its own.

    Only reads, also while the run goes on. Raises like `runner.store.read`.
    """
    curves: dict[int, list[CurvePoint]] = {}
    for event in recorded_events(folder):
        if event.trial is None or (trials is not None and event.trial not in trials):
            continue
        if event.kind == "started":
            curves[event.trial] = []
        elif event.kind == "metrics":
            curves[event.trial].append(CurvePoint(event.time, event.data))
    return curves
