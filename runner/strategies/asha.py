"""Asynchronous successive halving, ASHA (Li et al. 2018, https://arxiv.org/abs/1810.05934)."""

from bisect import insort
from collections import defaultdict
from functools import cached_property
from typing import final

from runner.space.sample import Sample
from runner.space.space import Space
from runner.strategies.rungs import Merit, Rungs, has_result, merit, needs_rungs
from runner.strategies.strategy import NotYet, Strategy
from runner.trial import Trial

Ranked = tuple[Merit, str, Trial]  # with the key of its sample


@final
class Asha(Strategy):
    """Asynchronous successive halving (Li et al. 2018, https://arxiv.org/abs/1810.05934, Algorithm
    2).

    New samples are random, without repetition, and begin on the lowest rung. A trial among the best
    1/eta of those that have a result on its rung is promoted to the next one, from the highest rung
    down; if there is none, a new sample begins, so that it never waits. Once a finite space is used
    up, it waits for running trials; when none is left, the best trial of each rung goes on, so that
    one reaches the highest.
    """

    exhausts = True
    promotes = True
    varies = True

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._results: defaultdict[int, list[Ranked]] = defaultdict(list)  # by rung, best first
        self._promoted: set[tuple[str, int]] = set()  # samples, and the rungs they left
        self._running: set[int] = set()
        self._needed: set[int] = set()

    @cached_property
    def _rungs(self) -> Rungs:
        return Rungs(self.space, self.goals.fidelity)

    @property
    def needed(self) -> set[int]:
        return self._needed

    def check(self) -> None:
        needs_rungs(self.goals, "asha")

    def propose(self, number: int) -> Sample:
        self.parent, self.fixed = None, False
        if (best := self._promotable()) is None:
            try:
                return self._rungs.new(0, self.rng(number))
            except StopIteration:
                if self._running:
                    raise NotYet from None
                if (best := self._promotable(at_least=1)) is None:
                    raise
        self.parent, self.fixed = best.owner, True
        return self._rungs.at(best.sample, self._rungs.rung(best.sample) + 1)

    def observe(self, trial: Trial) -> None:
        rung = self._rungs.rung(trial.sample)
        if trial.running:
            self._running.add(trial.number)
            self._rungs.see(trial.sample)
            if trial.parent is not None:
                self._promoted.add((self._rungs.key(trial.sample), rung - 1))
            return
        self._running.discard(trial.number)
        if trial.parent is not None:
            self._needed.discard(trial.parent)
        if has_result(trial):
            insort(self._results[rung], (merit(trial), self._rungs.key(trial.sample), trial))
            if rung + 1 < self._rungs.count:
                self._needed.add(trial.owner)

    def _promotable(self, at_least: int = 0) -> Trial | None:
        """Returns the trial to promote: the best one of the highest rung that has some."""
        fidelity = self.goals.fidelity
        for rung in reversed(range(self._rungs.count - 1)):
            ranked = self._results[rung]
            assert fidelity is not None, "there is one rung only"
            for _, sample, trial in ranked[: max(at_least, len(ranked) // fidelity.eta)]:
                if (sample, rung) not in self._promoted:
                    return trial
        return None
