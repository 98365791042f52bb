"""Is the winner of a search better than chance? What may be said of it, given the noise."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

from runner.display import format as text
from runner.goals import Goals
from runner.ranking import front, hypervolume, top, worst
from runner.repeats import merged
from runner.trial import Trial

LEVEL = 0.95  # of the interval of a difference
POOLED = 8  # samples whose variances are pooled
HOW = "confirm={top: 5, seeds: 3} tells"


def verdict(trials: Iterable[Trial], goals: Goals, *, noisy: bool = True) -> str:
    """Says whether the best of a search is better than the best of its random samples, and if that
    is more than noise; empty if there is nothing to compare. `noisy` is whether a sample may have
    another result under another seed."""
    trials = [*trials]
    results = _results(trials)
    before = _results(trial for trial in trials if trial.stage != "confirm")
    searched = [trial for trial in results if trial.stage == "search" and trial.scored]
    random = [trial for trial in results if trial.random and trial.scored]
    if len(results) < 2 or all(trial.random for trial in searched):
        return ""
    if not random:
        return "No sample was random, so what chance finds is not known; compare=random tells."
    rest = ""
    if len(random) < len(searched) and all(trial.stage == "search" for trial in random):
        rest = f" The search tried {len(searched)}; compare=random tries as many at random."
    if goals.several:
        return _volumes(searched, random) + rest
    winner, rival = _found(searched, before), _found(random, before)
    if winner.number == rival.number:
        what = f"The best of the search, trial {winner.number}, is also the best of"
        samples = text.counted(len(random), "random sample")
        return f"{what} {samples}: chance found it, too.{rest}"
    metric = goals.objectives[0].metric
    pairing = _Pairing(winner, rival, len(random), metric)
    if not noisy:
        return f"{pairing.difference}.{rest}"
    alike = [trial for trial in results if trial.confirmed == winner.confirmed]
    noise = _Noise.of([trial for trial in alike if trial.trainings > 1], metric)
    return pairing.sentence(noise) + rest


def _found(some: Sequence[Trial], before: Sequence[Trial]) -> Trial:
    """Returns the best of some samples. It is chosen by the results that it had before it was
    confirmed: the best of several new results would be the best by chance, again."""
    numbers = {trial.number: trial for trial in some}
    [best] = top([trial for trial in before if trial.number in numbers], 1)
    return numbers[best.number]


def _results(trials: Iterable[Trial]) -> list[Trial]:
    """Returns a trial for each sample. A random one of the comparison that shares the result of a
    trial becomes that trial."""
    found = merged(trials)
    by_number = {trial.number: trial for trial in found}
    return [
        replace(by_number[trial.owner], stage=trial.stage, random=trial.random) for trial in found
        if trial.duplicate_of is None or trial.stage == "baseline"
    ]  # fmt: skip


def _volumes(searched: Sequence[Trial], random: Sequence[Trial]) -> str:
    """Compares two fronts by their hypervolume above the worst results of both."""
    corner = worst([*searched, *random])
    ours, theirs = (hypervolume([t.scores for t in front(some)], corner)
                    for some in (searched, random))  # fmt: skip
    samples = text.counted(len(random), "random sample")
    return (
        f"The hypervolume of the search is {ours:.4g}, that of {samples} {theirs:.4g}; how much of "
        "that is noise is not known."
    )


@final
@dataclass(frozen=True)
class _Noise:
    """How much the scores of one sample vary under different seeds."""

    variance: float
    freedom: int  # degrees of freedom of this estimate; 0: nothing is known

    @classmethod
    def of(cls, results: Sequence[Trial], metric: str) -> "_Noise":
        """Pools the variances of the best samples that were trained several times; those of worse
        ones are often larger."""
        known = [trial for trial in top(results, POOLED) if metric in trial.deviations]
        freedom = sum(trial.trainings - 1 for trial in known)
        squares = sum((t.trainings - 1) * t.deviations[metric] ** 2 for t in known)
        return cls(squares / freedom if freedom else 0.0, freedom)

    def margin(self, one: Trial, other: Trial) -> float:
        """Returns half the width of the interval of the difference of two means."""
        from scipy.special import stdtrit  # takes half a second

        error = math.sqrt(self.variance * (1 / one.trainings + 1 / other.trainings))
        return error * float(stdtrit(self.freedom, (1 + LEVEL) / 2))


@final
@dataclass(frozen=True)
class _Pairing:
    """The winner of a search beside the best random sample."""

    winner: Trial
    rival: Trial
    among: int  # random samples
    metric: str

    @property
    def gain(self) -> float:
        """By how much the winner is better."""
        return self.winner.scores[0] - self.rival.scores[0]

    @property
    def difference(self) -> str:
        """Says by how much the winner is better, and nothing of noise."""
        if not self.gain:
            return f"{self._ours} is as good as {self._theirs}"
        how = "better" if self.gain > 0 else "worse"
        return f"{self._ours} is {self._by} {how} than {self._theirs}"

    def sentence(self, noise: _Noise) -> str:
        """Says by how much the winner is better, and whether that is more than noise."""
        if self.winner.confirmed != self.rival.confirmed:
            return f"{self.difference}; only one of them is confirmed, so that may be luck."
        if not noise.freedom and self.winner.trainings == 1 and not self.winner.confirmed:
            return f"{self.difference}; whether that is noise, {HOW}."
        if not noise.variance:
            many = "under each seed" if noise.freedom else "under one new seed each"
            return f"{self.difference}, {many}."
        margin = noise.margin(self.winner, self.rival)
        by, how = self.gain, "not better" if self.gain <= margin else "better"
        if self.gain < -margin:
            by, how = -self.gain, "worse"
        low, high = (self._signed(by + side) for side in (-margin, margin))
        return (
            f"{self._ours} is {how} than {self._theirs} beyond noise: by {self._signed(by)} "
            f"({LEVEL:.0%} interval {low} to {high})."
        )

    @property
    def _by(self) -> str:
        return text.figure(self.metric, abs(self.gain))

    @property
    def _ours(self) -> str:
        return f"The best of the search ({self._told(self.winner)})"

    @property
    def _theirs(self) -> str:
        samples = text.counted(self.among, "random sample")
        return f"the best of {samples} ({self._told(self.rival)})"

    def _told(self, trial: Trial) -> str:
        name = self.metric
        value = text.figure_of(name, trial.metrics, trial.deviations)
        seeds = "" if trial.trainings == 1 else f" over {trial.trainings} seeds"
        return f"trial {trial.number}: {text.clean(name)} {value}{seeds}"

    def _signed(self, gain: float) -> str:
        sign = "-" if gain < 0 else ""
        return f"{sign}{text.figure(self.metric, abs(gain))}"
