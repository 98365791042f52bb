"""Race: which of two ways to take a step is faster, and whether it pays to find out."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import final

import torch

TOO_SHORT = "training ended before it was known what is faster"
ROUNDS = 3  # so many steps of either kind are timed before the faster one is kept
PACE = 1e-3  # seconds that planning takes for an operation, as long as none was planned
RISK = 0.5  # the share of a training that the first plan of all may take
RECENT = 3  # races that say what the next one will bring
AGAIN = 8  # groups of which one is planned even so, since later ones may be of another kind


def now(device: torch.device) -> float:
    """Seconds of work: of this process on a CPU; on an accelerator, once all of it is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.accelerator.synchronize(device)
    return time.perf_counter()


@final
class Race:
    """Which of two ways to take a step is faster; both do the same."""

    def __init__(self, device: torch.device, alone: Sequence[float] = ()) -> None:
        """`alone`: seconds of steps that were taken one model after another before."""
        self._device = device
        self._seconds: dict[bool, list[float]] = {True: [], False: [*alone]}
        self.together = True  # the way of the next step

    @property
    def over(self) -> bool:
        """Whether it is decided."""
        return all(len(seconds) > ROUNDS for seconds in self._seconds.values())

    @property
    def speedup(self) -> float:
        """How many times as fast as one after another the models are together."""
        alone, together = (median(self._seconds[way][1:]) for way in (False, True))
        return alone / together

    @contextmanager
    def step(self) -> Iterator[bool]:
        """Take a step, together or not; it is timed while the race is on."""
        if self.over:
            yield self.together
            return
        start = self._now()
        yield self.together
        self._seconds[self.together].append(self._now() - start)
        self.together = self.speedup > 1 if self.over else self._next()

    def _next(self) -> bool:
        """The way that fewer steps were taken, if any."""
        alone, together = len(self._seconds[False]), len(self._seconds[True])
        return not self.together if alone == together else together < alone

    def _now(self) -> float:
        return now(self._device)


@final
class Prospects:
    """What planning to train a group as one costs, and what it will bring, from the groups before:
    so that groups which gain nothing cost no plans either."""

    def __init__(self) -> None:
        self._pace = PACE
        self._speedups: deque[float] = deque(maxlen=RECENT)
        self._refused = 0  # in a row

    def refusal(self, operations: int, seconds: float) -> str:
        """Why a plan of so many operations is not worth making for a training that will take so
        long otherwise; empty where it is."""
        cost = self._pace * operations
        if self._saved(seconds) > cost:
            return ""
        self._refused += 1
        if self._speedups and self._refused % AGAIN == 0 and RISK * seconds > cost:
            return ""
        if self._speedups and median(self._speedups) <= 1:
            return "groups before gained nothing"
        return "planning would take longer than it saves"

    def _saved(self, seconds: float) -> float:
        """What training as one saves of so many seconds; the first time, all that may be risked."""
        if not self._speedups:
            return RISK * seconds
        return seconds * (1 - 1 / max(1.0, median(self._speedups)))

    def planned(self, operations: int, seconds: float) -> None:
        """A plan of so many operations took so long."""
        self._pace = seconds / operations

    def raced(self, speedup: float) -> None:
        """A group was found to be so many times as fast as one; 0 where it could not be."""
        self._speedups.append(speedup)
