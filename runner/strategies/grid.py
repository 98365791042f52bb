"""Grid search: all samples of a space, in order."""

from typing import final

from runner.errors import require
from runner.space.sample import Sample
from runner.space.space import Space
from runner.strategies.strategy import Strategy
from runner.trial import Trial


@final
class Grid(Strategy):
    """Grid search; the last choice varies fastest. The next sample follows from the last proposal.

    A continuous choice contributes `resolution` points, including both ends; all other choices
    contribute all their values.
    """

    several = True
    exhausts = True
    learns = False

    def __init__(self, space: Space, seed: int, *, resolution: int) -> None:
        require(resolution >= 2, "strategy.resolution", resolution, "at least 2: both ends")
        super().__init__(space, seed)
        self.resolution = resolution
        self._last: Sample | None = None

    def propose(self, number: int) -> Sample:
        return next(self.space.enumerate(self._last, self.resolution))

    def observe(self, trial: Trial) -> None:
        if trial.running:
            self._last = trial.sample
