"""Local search (White et al. 2020, https://arxiv.org/abs/2005.02960)."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import final

from runner.errors import require
from runner.space.choice import Choice, JsonValue, key
from runner.space.sample import Sample, Walk, generator, lookup, sample_key
from runner.space.space import Space
from runner.strategies.mutation import keeping
from runner.strategies.strategy import Strategy
from runner.strategies.unseen import Unseen
from runner.trial import Trial

_HEIRS = 100  # a trial that the climb has left behind for so long has lost its weights


@final
class LocalSearch(Strategy):
    """Hill climbing with restarts (White et al. 2020, https://arxiv.org/abs/2005.02960).

    A climb starts at the best of `starts` random trials, and tries the neighbours of where it
    stands in random order: samples in which one choice has another value, and choices that become
    active only through it are random. It moves to the best of all neighbours if that is better, or
    with `first_improvement` to the first that is; at a peak, a new climb starts. Of a choice with
    more than `values` other values, that many are drawn. No sample is proposed twice; neighbours
    that were tried before count with their results. While the last neighbours still run, further
    slots try random samples, with which the next climb starts.

    Of several objectives, each climb weighs them at random, relative to their ranges so far (Den
    Ottelander et al. 2020, https://arxiv.org/abs/2004.08996). A sample that breaks constraints is
    worse than all that keep them.
    """

    several = True
    exhausts = True
    parents = _HEIRS

    def __init__(
        self, space: Space, seed: int, *, starts: int, first_improvement: bool, values: int
    ) -> None:
        super().__init__(space, seed)
        require(starts >= 1, "strategy.starts", starts, "at least 1")
        require(values >= 1, "strategy.values", values, "at least 1")
        self.starts = starts
        self.first_improvement = first_improvement
        self.values = values
        self._unseen = Unseen(space)
        self._ended: dict[str, Trial] = {}  # by key of the sample: its first trial that has ended
        self._ranges: list[tuple[float, float]] = []  # of the scores so far, per objective
        self._climbs = 0
        self._random: list[str] = []  # keys of the random samples since the last climb started
        self._here: Trial | None = None  # where the climb stands
        self._neighbours: dict[str, Walk] = {}  # of it by key, as far as they were listed
        self._further: Iterator[Walk] = iter(())

    # A climb moves on when a trial is recorded, not when one ends, nor when a sample is asked for:
    # then a resumed run stands where the first one would have.

    def propose(self, number: int) -> Sample:
        self._climb()
        walk = self._next_neighbour()
        self.parent = self._here.number if self._here is not None and walk is not None else None
        self.random = walk is None
        return self._unseen.draw(generator(self.seed, number)) if walk is None else walk.sample

    def observe(self, trial: Trial) -> None:
        name = sample_key(trial.sample)
        if trial.running:
            self._climb()
            if self._next_neighbour() is None:
                self._random.append(name)
            self._unseen.see(trial.sample)
        else:
            self._ended.setdefault(name, trial)
            if trial.scored:
                known = self._ranges or [(score, score) for score in trial.scores]
                self._ranges = [
                    (min(low, score), max(high, score))
                    for (low, high), score in zip(known, trial.scores, strict=True)
                ]

    def _climb(self) -> None:
        """Moves to better trials as long as it is known where to."""
        while True:
            there = self._start() if self._here is None else self._better()
            if there is not None:
                self._here = there
                rng = generator(self.seed, "neighbours", there.number)
                self._neighbours = {}
                self._further = neighbours(self.space, there.sample, self.values, rng)
            elif self._is_at_peak():
                self._here = None
                self._climbs += 1
            else:
                return

    def _start(self) -> Trial | None:
        """Returns the best of the random trials, once enough of them have ended."""
        ended = [self._ended[name] for name in self._random if name in self._ended]
        scored = [trial for trial in ended if trial.scored]
        if not scored or len(ended) < self.starts:
            return None
        self._random.clear()
        return max(scored, key=self._rank)

    def _better(self) -> Trial | None:
        """Returns the neighbour to move to, if that is known already."""
        if not self.first_improvement and not self._all_ended():
            return None
        known = (self._ended.get(name) for name in self._neighbours)
        scored = [trial for trial in known if trial is not None and trial.scored]
        assert self._here is not None
        best = max(scored, key=self._rank, default=self._here)
        return best if self._rank(best) > self._rank(self._here) else None

    def _is_at_peak(self) -> bool:
        """Returns whether all neighbours are known, and none of them is better."""
        return self._here is not None and self._all_ended()

    def _all_ended(self) -> bool:
        return self._next_neighbour() is None and self._neighbours.keys() <= self._ended.keys()

    def _next_neighbour(self) -> Walk | None:
        """Returns the next neighbour that was not proposed; None if there is none."""
        last = next(reversed(self._neighbours.values()), None)
        if last is not None and last.sample in self._unseen:
            return last
        for walk in self._further:
            if walk.broken is None:
                self._neighbours[sample_key(walk.sample)] = walk
                if walk.sample in self._unseen:
                    return walk
        return None

    def _rank(self, trial: Trial) -> tuple[float, float]:
        """Returns a pair that is larger for a better trial."""
        if len(trial.scores) == 1:
            return -trial.violation, trial.scores[0]
        rng = generator(self.seed, "weights", self._climbs)
        weighed = (
            rng.expovariate(1.0) * (score - low) / (high - low or 1.0)
            for score, (low, high) in zip(trial.scores, self._ranges, strict=True)
        )
        return -trial.violation, sum(weighed)


def neighbours(space: Space, center: Sample, most: int, rng: Random) -> Iterator[Walk]:
    """Yields walks in which one choice of a sample has another value, in random order.

    Of a choice with more than `most` other values, yields that many of them. Choices that the
    sample has no value for, or no valid one, are random.
    """
    choices = space.walk(lookup(center)).choices
    moves = [
        (label, value)
        for label, choice in choices.items()
        if label in center
        for value in others(choice, center[label], most, rng)
    ]
    rng.shuffle(moves)
    for label, value in moves:
        draws = generator(rng.getrandbits(32), label)
        yield space.walk(keeping(center | {label: value}, draws))


def others(choice: Choice, value: JsonValue, most: int, rng: Random) -> Sequence[JsonValue]:
    """Returns the other values of a choice, without those whose prior is 0; or if there are more
    than `most`, so many of them, near the value where that means something."""
    if choice.size - 1 <= most:
        weights = choice.prior or [1.0] * int(choice.size)
        listed = zip(choice.values(), weights, strict=True)
        return [other for other, weight in listed if weight and key(other) != key(value)]
    drawn = (choice.mutate(value, rng) for _ in range(10 * most))
    return [*{key(other): other for other in drawn}.values()][:most]
