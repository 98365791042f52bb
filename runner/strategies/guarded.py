"""Guarded strategy: an exception of a strategy ends the run, and says whose it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from runner.errors import RunFailed, RunnerError, one_line
from runner.space.sample import Sample
from runner.strategies.strategy import NotYet, Strategy
from runner.trial import Trial


@final
class GuardedStrategy(Strategy):
    """Another strategy, whose unexpected exceptions become RunFailed with the way to go on."""

    def __init__(self, strategy: Strategy, resume: str) -> None:
        """`resume` is the override that continues the run, for messages."""
        super().__init__(strategy.space, strategy.seed)
        self.parents = strategy.parents
        self.goals = strategy.goals
        self.exhausts = strategy.exhausts  # type: ignore[misc]
        self.promotes = strategy.promotes  # type: ignore[misc]
        self._strategy = strategy
        self._resume = resume

    def propose(self, number: int) -> Sample:
        with self._naming_it():
            try:
                return self._strategy.propose(number)
            finally:
                self.parent = self._strategy.parent

    def observe(self, trial: Trial) -> None:
        with self._naming_it():
            self._strategy.observe(trial)

    @contextmanager
    def _naming_it(self) -> Iterator[None]:
        try:
            yield
        except (RunnerError, StopIteration, NotYet):
            raise
        except Exception as error:
            raise RunFailed(
                f"{type(self._strategy).__name__} raised {one_line(error)}. HYDRA_FULL_ERROR=1 "
                f"shows where; once it is fixed, continue with {self._resume}."
            ) from error
