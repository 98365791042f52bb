"""Decides by measurement whether a fused step is faster, and whether measuring pays."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import final

import torch

TOO_SHORT = "training ended before the faster way was known"
ROUNDS = 3  # steps of each kind that are timed before the faster one is chosen
PACE = 1e-3  # seconds of planning per operation, until measured
RISK = 0.5  # largest fraction of a training that the first plan may take
RECENT = 3  # races that predict the next one
AGAIN = 8  # one in this many refused groups is planned anyway, as groups may change


def now(device: torch.device) -> float:
    """Returns seconds of CPU time, or of wall time after synchronizing an accelerator."""
    if device.type == "cpu":
        return time.process_time()
    torch.accelerator.synchronize(device)
    return time.perf_counter()


@final
class Race:
    """A comparison of two equivalent ways to take a step, by time; the faster one is chosen."""

    def __init__(self, device: torch.device, alone: Sequence[float] = ()) -> None:
        """Starts with the seconds `alone` of earlier steps, taken one model after another."""
        self._device = device
        self._seconds: dict[bool, list[float]] = {True: [], False: [*alone]}
        self.together = True  # how to take the next step

    @property
    def over(self) -> bool:
        """Whether a winner has been chosen."""
        return all(len(seconds) > ROUNDS for seconds in self._seconds.values())

    @property
    def speedup(self) -> float:
        """The speedup of a fused step over one model after another."""
        alone, together = (median(self._seconds[way][1:]) for way in (False, True))
        return alone / together

    @contextmanager
    def step(self) -> Iterator[bool]:
        """Yields whether to take the step fused, and times it while the race is on."""
        if self.over:
            yield self.together
            return
        start = self._now()
        yield self.together
        self._seconds[self.together].append(self._now() - start)
        self.together = self.speedup > 1 if self.over else self._next()

    def _next(self) -> bool:
        """Returns the less-timed alternative; in a tie, the one not taken last."""
        alone, together = len(self._seconds[False]), len(self._seconds[True])
        return not self.together if alone == together else together < alone

    def _now(self) -> float:
        return now(self._device)


@final
class Prospects:
    """Predictions of the cost and benefit of fusing a group, from earlier groups, so that groups
    that gain nothing are not planned either."""

    def __init__(self) -> None:
        self._pace = PACE
        self._speedups: deque[float] = deque(maxlen=RECENT)
        self._refused = 0  # in a row

    def refusal(self, operations: int, seconds: float) -> str:
        """Returns why planning so many operations does not pay for a training that would take
        `seconds` unfused; empty if it does."""
        cost = self._pace * operations
        if self._saved(seconds) > cost:
            return ""
        self._refused += 1
        if self._speedups and self._refused % AGAIN == 0 and RISK * seconds > cost:
            return ""
        if self._speedups and median(self._speedups) <= 1:
            return "earlier groups gained nothing"
        return "planning would cost more than it saves"

    def _saved(self, seconds: float) -> float:
        """Returns the expected savings on `seconds` of training; at first, the accepted risk."""
        if not self._speedups:
            return RISK * seconds
        return seconds * (1 - 1 / max(1.0, median(self._speedups)))

    def planned(self, operations: int, seconds: float) -> None:
        """Records how long it took to plan so many operations."""
        self._pace = seconds / operations

    def raced(self, speedup: float) -> None:
        """Records the speedup of a group; 0 if it could not be fused."""
        self._speedups.append(speedup)
