"""BANANAS: an ensemble of predictors (White et al. 2021, https://arxiv.org/abs/1910.11858)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import final

import numpy

from runner.errors import ConfigError, did_you_mean, require
from runner.space.choice import Numeric
from runner.space.sample import Sample, Walk, lookup, sample_key
from runner.space.space import Space
from runner.strategies.decisions import encode
from runner.strategies.ensemble import Ensemble, Floats
from runner.strategies.mutation import mutate
from runner.strategies.strategy import Refusals, Strategy
from runner.strategies.unseen import Unseen
from runner.strategies.walks import Walks
from runner.trial import Trial

_HEIRS = 100  # a trial that ended so long ago has lost its weights
_TWICE = 0.5  # of the first mutations change two choices
_LEADERS = 10  # candidates that further ones are mutations of
_MOST = 1_000  # joint values of a path that are told apart
FeatureRow = Mapping[str, float]  # feature -> value; all others are 0


@dataclass
class _Promising:
    """A sample that may be proposed, and the trial that it comes from, if any."""

    parent: Trial | None
    walk: Walk
    promise: float = -math.inf  # its predicted quantile, drawn at random


@final
@dataclass(frozen=True)
class _Predictor:
    """An ensemble, and the features that it knows; others count as 0."""

    ensemble: Ensemble
    columns: Mapping[str, int]

    def draw(self, rows: Sequence[FeatureRow], rng: Random) -> list[float]:
        """Returns a value for each row, from the distribution that is predicted for it."""
        if not rows:
            return []
        predicted = self.ensemble.predict(_matrix(rows, self.columns))
        return [rng.gauss(m, s) for m, s in zip(predicted.mean(0), predicted.std(0), strict=True)]


@final
class Bananas(Strategy):
    """Bayesian optimization with neural predictors (White et al. 2021,
    https://arxiv.org/abs/1910.11858).

    The first `startup` trials are random. Afterwards, an ensemble of `members` small networks is
    trained on all trials with a score. It predicts the rank of a sample, as a quantile of the
    normal distribution, so that only the order of the scores counts. Of `candidates` samples, the
    one is proposed that comes first when each gets a random value from its predicted distribution
    (independent Thompson sampling). They are found in `rounds`: at first, half of them are
    mutations of the `best` best trials and the others random, and then all are mutations of the
    most promising ones so far. No sample is proposed twice. A trial that breaks constraints is
    worse than all that keep them.

    Features are the values of all choices (one-hot, or the position in a range), and the joint
    values of the choices of each path in `paths`: the path encoding of the paper.
    """

    exhausts = True
    varies = True
    parents = _HEIRS

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        startup: int,
        best: int,
        candidates: int,
        rounds: int,
        members: int,
        width: int,
        steps: int,
        learning_rate: float,
        paths: Sequence[Sequence[str]] | None,
    ) -> None:
        super().__init__(space, seed)
        counts = {"best": best, "candidates": candidates, "members": members, "width": width}
        rule = f"from 1 to strategy.candidates, which is {candidates}"
        for name, count in {"startup": startup, **counts, "steps": steps}.items():
            require(count >= 1, f"strategy.{name}", count, "at least 1")
        require(1 <= rounds <= candidates, "strategy.rounds", rounds, rule)
        require(learning_rate > 0, "strategy.learning_rate", learning_rate, "above 0")
        self.startup = startup
        self.best = best
        self.candidates = candidates
        self.rounds = rounds
        self.members = members
        self.width = width
        self.steps = steps
        self.learning_rate = learning_rate
        self._paths = paths or ()
        self._features = Features(self._paths)
        self._known: list[tuple[Trial, FeatureRow]] = []  # in the order they ended
        self._unseen = Unseen(space)
        self._walks = Walks(space, best)
        self._refusals = Refusals()

    def check(self) -> None:
        labels = {label for path in self._paths for label in path}
        met = self.space.meet(labels)
        for label in sorted(labels - met.keys()):
            raise ConfigError(
                f"strategy.paths contains {label!r}, which no choice of the space is called."
                f"{did_you_mean(label, met)}"
            )
        for label in sorted(labels):
            if isinstance(met[label], Numeric):
                raise ConfigError(
                    f"strategy.paths contains {label!r}, which is {met[label]}; a path must "
                    "consist of choices among candidates."
                )

    def propose(self, number: int) -> Sample:
        self.parent, self.random = None, False
        rng = self.rng(number)
        ranked = sorted((t for t, _ in self._known if t.scored), key=_order, reverse=True)
        if len(ranked) >= self.startup and not self._refusals.lost:
            found = self._candidates(ranked[: self.best], rng)
            if found:
                parent = found[0].parent
                self.parent = None if parent is None else parent.number
                return found[0].walk.sample
        self.random = True
        return self._unseen.draw(rng)

    def observe(self, trial: Trial) -> None:
        self._refusals.observe(trial)
        if trial.running:
            self._unseen.see(trial.sample)
        elif trial.scored or trial.violation:
            walk = self.space.walk(lookup(trial.sample))
            self._known.append((trial, self._features.row(walk)))

    def _candidates(self, best: Sequence[Trial], rng: Random) -> list[_Promising]:
        """Returns different new samples, the most promising first."""
        found: dict[str, _Promising] = {}
        predictor: _Predictor | None = None
        for _ in range(self.rounds):
            leaders = sorted(found.values(), key=lambda one: -one.promise)[:_LEADERS]
            new: dict[str, _Promising] = {}
            for i in range(self.candidates // self.rounds):
                one = self._next(leaders, rng) if leaders else self._first(best, i, rng)
                name = sample_key(one.walk.sample)
                is_new = name not in found and one.walk.sample in self._unseen
                if one.walk.broken is None and is_new:
                    new.setdefault(name, one)
            rows = [self._features.row(one.walk) for one in new.values()]
            predictor = predictor or self._predictor(rows, rng)
            for one, promise in zip(new.values(), predictor.draw(rows, rng), strict=True):
                one.promise = promise
            found |= new
        return sorted(found.values(), key=lambda one: -one.promise)

    def _first(self, best: Sequence[Trial], place: int, rng: Random) -> _Promising:
        """Returns a mutation of one of the best trials, or every other time a random sample."""
        if place % 2 == 0:
            return _Promising(None, self.space.walk(lambda choice: choice.random(rng)))
        parent = rng.choice(best)
        walk = mutate(self.space, self._walks.of(parent.sample), rng)
        twice = rng.random() < _TWICE
        return _Promising(parent, mutate(self.space, walk, rng) if twice else walk)

    def _next(self, leaders: Sequence[_Promising], rng: Random) -> _Promising:
        leader = rng.choice(leaders)
        return _Promising(leader.parent, mutate(self.space, leader.walk, rng))

    def _predictor(self, rows: Sequence[FeatureRow], rng: Random) -> _Predictor:
        """Returns a predictor that knows all trials, and the features of some rows."""
        names = {name for row in (*(row for _, row in self._known), *rows) for name in row}
        columns = {name: i for i, name in enumerate(sorted(names))}
        ensemble = Ensemble(rng.getrandbits(32), self.members, len(columns), self.width)
        known = _matrix([row for _, row in self._known], columns)
        targets = _quantiles([_order(trial) for trial, _ in self._known])
        ensemble.fit(known, targets, self.steps, self.learning_rate)
        return _Predictor(ensemble, columns)


def _order(trial: Trial) -> tuple[float, float]:
    """Returns a pair that is larger for a better trial; also for one that was refused since it
    breaks constraints."""
    return -trial.violation, trial.scores[0] if trial.scores else -math.inf


def _quantiles(order: Sequence[tuple[float, float]]) -> Floats:
    """Returns the quantile of the normal distribution for the rank of each; equal ones share it."""
    ranked = sorted(order)
    places: dict[tuple[float, float], list[int]] = {}
    for place, value in enumerate(ranked):
        places.setdefault(value, []).append(place)
    normal = NormalDist()
    mean = {value: (at[0] + at[-1] + 1) / 2 for value, at in places.items()}
    return numpy.array([normal.inv_cdf(mean[value] / len(order)) for value in order])


def _matrix(rows: Sequence[FeatureRow], columns: Mapping[str, int]) -> Floats:
    matrix = numpy.zeros((len(rows), len(columns)))
    for i, row in enumerate(rows):
        for name, value in row.items():
            if name in columns:
                matrix[i, columns[name]] = value
    return matrix


@final
class Features:
    """The features of samples, by name."""

    def __init__(self, paths: Sequence[Sequence[str]]) -> None:
        self._paths = paths

    def row(self, walk: Walk) -> FeatureRow:
        """Returns the features of a walk that are not 0."""
        row: dict[str, float] = {}
        for label in walk.sample:
            row |= self._of_choice(walk, label)
        for path in self._paths:
            if all(label in walk.sample for label in path):
                row |= self._of_path(walk, path)
        return row

    def _of_choice(self, walk: Walk, label: str) -> FeatureRow:
        choice, value = walk.choices[label], walk.sample[label]
        name = f"{label}: {choice}"
        if isinstance(choice, Numeric) and choice.size > 1:
            return {name: 1.0, f"{name} position": 2 * choice.position(value) - 1}
        return {f"{name} {i}={j}": 1.0 for i, j in enumerate(encode(choice, value, 0))}

    def _of_path(self, walk: Walk, path: Sequence[str]) -> FeatureRow:
        choices = [walk.choices[label] for label in path]
        name = ", ".join(f"{choice.label}: {choice}" for choice in choices)
        places = [choice.place(walk.sample[choice.label]) for choice in choices]
        index = 0
        for choice, place in zip(choices, places, strict=True):
            index = index * int(choice.size) + place
        return {f"{name} = {places}": 1.0} if index < _MOST else {}
