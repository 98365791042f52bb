"""Random search without repetition."""

from typing import final

from runner.space.sample import Sample
from runner.space.space import Space
from runner.strategies.strategy import Strategy
from runner.strategies.unseen import Unseen
from runner.trial import Trial


@final
class Random(Strategy):
    """Random search: every choice met is uniform, and no sample is proposed twice; see `Unseen`."""

    several = True
    random = True
    varies = True
    exhausts = True

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._samples = Unseen(space)

    def propose(self, number: int) -> Sample:
        return self._samples.draw(self.rng(number))

    def observe(self, trial: Trial) -> None:
        if trial.running:
            self._samples.see(trial.sample)
