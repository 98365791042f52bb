"""Guarded strategy: an exception of a strategy ends the run, and says whose it was."""

from typing import final

from runner.errors import naming_part
from runner.space.sample import Sample
from runner.strategies.strategy import NotYet, Strategy
from runner.strategies.wrapper import StrategyWrapper
from runner.trial import Trial


@final
class GuardedStrategy(StrategyWrapper):
    """Another strategy, whose unexpected exceptions become RunFailed with the way to go on."""

    def __init__(self, strategy: Strategy, resume: str) -> None:
        """`resume` is the override that continues the run, for messages."""
        super().__init__(strategy)
        self._resume = resume

    def propose(self, number: int) -> Sample:
        with naming_part(self.inner, self._resume, StopIteration, NotYet):
            return super().propose(number)

    def observe(self, trial: Trial) -> None:
        with naming_part(self.inner, self._resume, StopIteration, NotYet):
            super().observe(trial)
