"""A strategy around another one, whose properties it has."""

from collections.abc import Collection

from runner.space.sample import Sample
from runner.strategies.strategy import Strategy
from runner.trial import Trial


class StrategyWrapper(Strategy):
    """Proposes what another strategy does, and passes on what it observes."""

    def __init__(self, strategy: Strategy) -> None:
        super().__init__(strategy.space, strategy.seed)
        self.parents = strategy.parents
        self.goals = strategy.goals
        self.exhausts = strategy.exhausts  # type: ignore[misc]
        self.several = strategy.several  # type: ignore[misc]
        self.varies = strategy.varies  # type: ignore[misc]
        self.promotes = strategy.promotes  # type: ignore[misc]
        self.learns = strategy.learns  # type: ignore[misc]
        self.inner = strategy

    @property
    def needed(self) -> Collection[int]:
        return self.inner.needed

    @property
    def owes(self) -> bool:
        return self.inner.owes

    def vary(self, variant: int) -> None:
        self.inner.vary(variant)

    def propose(self, number: int) -> Sample:
        inner = self.inner
        try:
            return inner.propose(number)
        finally:
            self.parent, self.fixed = inner.parent, inner.fixed
            self.random, self.repeat_of = inner.random, inner.repeat_of

    def observe(self, trial: Trial) -> None:
        self.inner.observe(trial)
