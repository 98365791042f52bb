"""Learning rate schedules: pure functions (step, total steps) -> multiplier."""

import math
from abc import ABC, abstractmethod
from typing import final

from runner.errors import require


class Schedule(ABC):
    """A linear warm-up to 1, followed by the curve of a subclass."""

    def __init__(self, warmup: float) -> None:
        """Uses the fraction `warmup` of all steps for the warm-up."""
        rule = "a fraction of the steps, at least 0 and below 1"
        require(0 <= warmup < 1, "evaluator.schedule.warmup", warmup, rule)
        self._warmup = warmup

    @final
    def __call__(self, step: int, total: int) -> float:
        """Returns the multiplier of the learning rate at `step` of `total`, counted from 0."""
        rising = round(self._warmup * total)
        if step < rising:
            return (step + 1) / (rising + 1)
        return self.curve((step - rising) / (total - rising))

    @abstractmethod
    def curve(self, progress: float) -> float:
        """Returns the multiplier after the warm-up; `progress` runs from 0 to just below 1."""


@final
class Constant(Schedule):
    """A schedule that stays at 1."""

    def curve(self, progress: float) -> float:
        return 1.0


class Falling(Schedule):
    """A schedule that decays from 1 to `end`."""

    def __init__(self, warmup: float, end: float) -> None:
        super().__init__(warmup)
        rule = "a fraction of the learning rate, from 0 to 1"
        require(0 <= end <= 1, "evaluator.schedule.end", end, rule)
        self._end = end


@final
class Linear(Falling):
    """A linear decay from 1 to `end`."""

    def curve(self, progress: float) -> float:
        return 1 + (self._end - 1) * progress


@final
class Cosine(Falling):
    """A decay along half a cosine from 1 to `end` (https://arxiv.org/abs/1608.03983)."""

    def curve(self, progress: float) -> float:
        return self._end + (1 - self._end) * (1 + math.cos(math.pi * progress)) / 2
