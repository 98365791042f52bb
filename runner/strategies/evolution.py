"""Regularized evolution (Real et al. 2019, https://arxiv.org/abs/1802.01548)."""

from collections import deque
from random import Random
from typing import final

from runner.errors import require
from runner.ranking import winners
from runner.space.sample import Chooser, Sample, sample_key
from runner.space.space import Space
from runner.strategies.mutation import crossing, keeping, mutated
from runner.strategies.strategy import Refusals, Strategy
from runner.strategies.walks import Walks
from runner.trial import Trial


@final
class Evolution(Strategy):
    """Regularized evolution (Real et al. 2019, https://arxiv.org/abs/1802.01548, Algorithm 1).

    The first `population_size` trials are random. Afterwards, `sample_size` members of the
    population are drawn with replacement, and the best of them produces a child that differs in
    exactly one choice; choices that become active only through it are random. With the probability
    `crossover`, the child has each value from this parent or from a second one, which is drawn
    alike, at equal odds instead. A trial with a score
    joins the population, and the oldest member leaves. Failed trials never join. Of several
    objectives, a member that no other drawn one beats is the best; one that keeps the constraints
    beats all that do not. A child that was proposed before, or that the space refuses, is drawn
    again, up to `retries` times. After several refused trials in a row, samples are random until
    one is accepted.
    """

    several = True
    varies = True

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        population_size: int,
        sample_size: int,
        crossover: float,
        retries: int,
    ) -> None:
        super().__init__(space, seed)
        require(population_size >= 1, "strategy.population_size", population_size, "at least 1")
        rule = f"from 1 to strategy.population_size, which is {population_size}"
        require(1 <= sample_size <= population_size, "strategy.sample_size", sample_size, rule)
        require(0 <= crossover <= 1, "strategy.crossover", crossover, "a probability, from 0 to 1")
        require(retries >= 0, "strategy.retries", retries, "0 or more")
        self.population_size = self.parents = population_size
        self.sample_size = sample_size
        self.crossover = crossover
        self.retries = retries
        self._population: deque[Trial] = deque(maxlen=population_size)
        self._joined: set[int] = set()  # numbers of the trials that joined, or still may
        self._seen: set[str] = set()
        self._walks = Walks(space, population_size)
        self._refusals = Refusals()

    def propose(self, number: int) -> Sample:
        rng = self.rng(number)
        for left in reversed(range(1 + self.retries)):
            child, choose = self._draw(rng)
            if left and child is not None and sample_key(child) in self._seen:
                continue  # the walk, which takes long, would lead there
            walk = self.space.walk(choose)
            if walk.broken is None and sample_key(walk.sample) not in self._seen:
                break
        return walk.whole()

    def observe(self, trial: Trial) -> None:
        self._refusals.observe(trial)
        if trial.running:
            self._joined.add(trial.number)
            self._seen.add(sample_key(trial.sample))
        elif trial.scored:
            self._population.append(trial)
        else:
            self._joined.discard(trial.number)

    def _draw(self, rng: Random) -> tuple[Sample | None, Chooser]:
        """Returns how to walk to the next sample, and that sample if a walk is only to complete
        it."""
        self.parent = None
        growing = len(self._joined) < self.population_size or not self._population
        self.random = growing or self._refusals.lost
        if self.random:
            return None, lambda choice: choice.random(rng)
        best = self._selected(rng)
        self.parent = best.number
        if self.crossover and rng.random() < self.crossover:
            return None, crossing(best.sample, self._selected(rng).sample, rng)
        child = mutated(self._walks.of(best.sample), rng)
        return child, keeping(child, rng)

    def _selected(self, rng: Random) -> Trial:
        """Returns the winner of a tournament."""
        return rng.choice(winners(rng.choices(self._population, k=self.sample_size)))
