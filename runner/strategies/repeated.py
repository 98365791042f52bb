"""A strategy that trains each sample of another one several times, and tells it the means."""

from typing import final

from runner.repeats import SampleResults
from runner.space.sample import Sample
from runner.strategies.strategy import Strategy
from runner.strategies.wrapper import StrategyWrapper
from runner.trial import Trial


@final
class Repeated(StrategyWrapper):
    """Proposes each sample of another strategy `count` times in a row, each under a seed of its
    own. The other one sees a sample as one trial, with the means over all its trainings."""

    def __init__(self, strategy: Strategy, count: int) -> None:
        super().__init__(strategy)
        self._repeats = SampleResults(count)

    @property
    def owes(self) -> bool:
        return self._repeats.owed is not None

    def propose(self, number: int) -> Sample:
        if (first := self._repeats.owed) is None:
            return super().propose(number)
        self.repeat_of, self.parent, self.random = first.number, first.parent, first.random
        self.fixed = True
        return first.sample

    def observe(self, trial: Trial) -> None:
        for seen in self._repeats.see(trial):
            super().observe(seen)
