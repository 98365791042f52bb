"""Methods, each with several runs that differ in their seeds only, beside each other."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any, final

from scipy import stats

from runner.config.settings import Settings, leaves_of
from runner.display import format as text
from runner.errors import ConfigError, as_yaml
from runner.goals import Goals
from runner.ranking import hypervolume, undominated, worst
from runner.repeats import merged
from runner.results import Run
from runner.trial import Trial

LEVEL = 0.95  # of the interval of a difference
# Keys of a config that say nothing of what is searched, or how.
ASIDE = ("task", "training", "trust", "resume", "export")


@final
@dataclass(frozen=True)
class BestSoFar:
    """The best result of a run after each trial of its budget; nan before the first."""

    seed: int
    values: Sequence[float]  # of the objective, or the hypervolume of several; higher or lower

    @property
    def final(self) -> float:
        return self.values[-1]


@final
@dataclass(frozen=True)
class Method:
    """Runs of one config under several seeds."""

    label: str
    curves: Sequence[BestSoFar]

    @property
    def finals(self) -> list[float]:
        return [curve.final for curve in self.curves]

    def band(self) -> Iterator[tuple[int, float, float]]:
        """Yields the number of trials, and the mean and the standard deviation over the seeds of
        the best result so far, as far as all runs go and have one."""
        for place in range(min(len(curve.values) for curve in self.curves)):
            found = [curve.values[place] for curve in self.curves]
            if all(value == value for value in found):
                yield place + 1, mean(found), stdev(found) if len(found) > 1 else 0.0


@final
@dataclass(frozen=True)
class Advantage:
    """How much better a method is than another one, and how sure that is."""

    method: Method
    reference: Method
    pairs: int  # 0: the runs are not of the same seeds, and are not paired
    better: float  # the mean difference, turned so that more is better
    interval: tuple[float, float] | None  # of it; None from a single pair
    p: float | None  # of the test that there is none, two-sided

    @property
    def is_certain(self) -> bool:
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


@final
@dataclass(frozen=True)
class MethodComparison:
    """Methods, with the name of what they are compared by."""

    metric: str
    maximize: bool
    methods: Sequence[Method]

    def differences(self) -> list[Advantage]:
        """Returns how the others compare with the first method: by a paired t-test over common
        seeds, or by Welch's test if there are fewer than two."""
        found = [self._difference(one, self.methods[0]) for one in self.methods[1:]]
        return _corrected(found)

    def _difference(self, method: Method, reference: Method) -> Advantage:
        sign = 1 if self.maximize else -1
        ours = {curve.seed: sign * curve.final for curve in method.curves}
        theirs = {curve.seed: sign * curve.final for curve in reference.curves}
        common = sorted(ours.keys() & theirs.keys())
        pairs = len(common) if len(common) > 1 else 0
        if pairs:
            a, b = [ours[seed] for seed in common], [theirs[seed] for seed in common]
        else:
            a, b = [*ours.values()], [*theirs.values()]
        better = mean(a) - mean(b)
        if min(len(a), len(b)) < 2:
            return Advantage(method, reference, pairs, better, None, None)
        if pairs and len({x - y for x, y in zip(a, b, strict=True)}) == 1:  # without any spread
            p = 1.0 if better == 0 else 0.0
            return Advantage(method, reference, pairs, better, (better, better), p)
        found = stats.ttest_rel(a, b) if pairs else stats.ttest_ind(a, b, equal_var=False)
        low, high = found.confidence_interval(LEVEL)
        return Advantage(method, reference, pairs, better, (low, high), float(found.pvalue))


def _corrected(found: Sequence[Advantage]) -> list[Advantage]:
    """Corrects p for several tests (Holm 1979, https://www.jstor.org/stable/4615733)."""
    tested = sorted((one for one in found if one.p is not None), key=lambda one: one.p or 0.0)
    corrected: dict[int, float] = {}
    largest = 0.0
    for place, one in enumerate(tested):
        largest = max(largest, min(1.0, (one.p or 0.0) * (len(tested) - place)))
        corrected[id(one)] = largest
    return [replace(one, p=corrected.get(id(one))) for one in found]


def compared(runs: Sequence[Run]) -> MethodComparison:
    """Groups runs into methods, in the order in which they first occur. Raises ConfigError if their
    objectives differ, or if none has a result."""
    first = runs[0]
    for run in runs[1:]:
        if run.goals.objectives != first.goals.objectives:
            raise ConfigError(
                f"The runs in {first.folder} and {run.folder} have different objectives "
                f"({_aims(first.goals)}; {_aims(run.goals)}), so they cannot be compared."
            )
    goals = first.goals
    trials = {run: _results(run.trials) for run in runs}
    if not any(t.scored for found in trials.values() for t in found):
        raise ConfigError("No trial of these runs has a result to compare.")
    reference = worst([t for found in trials.values() for t in found if t.scored])
    metric, maximize = "hypervolume", True
    if not goals.several:
        metric, maximize = goals.objectives[0].metric, goals.objectives[0].mode == "max"
    grouped: dict[str, list[Run]] = {}
    for run, key in zip(runs, _keys([run.settings for run in runs]), strict=True):
        grouped.setdefault(key, []).append(run)
    methods = []
    for label, group in grouped.items():
        curves = [
            BestSoFar(run.settings.seed, [*_best_so_far(trials[run], goals, reference)])
            for run in group
        ]
        if kept := [curve for curve in curves if curve.values and curve.final == curve.final]:
            methods.append(Method(label, kept))
    return MethodComparison(metric, maximize, methods)


def _results(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the trials of the budget of a search, each sample as one."""
    found = [trial for trial in merged([*trials]) if trial.counts and not trial.running]
    return sorted(found, key=lambda trial: trial.number)


def _best_so_far(
    trials: Sequence[Trial], goals: Goals, reference: Sequence[float]
) -> Iterator[float]:
    """Yields the best result after each trial: the value of the objective, or the hypervolume."""
    points: list[Sequence[float]] = []
    for trial in trials:
        if trial.scored and trial.feasible:
            points.append(trial.scores)
            points = [points[i] for i in undominated(points)]
        if not points:
            yield float("nan")
        elif goals.several:
            yield hypervolume(points, reference)
        else:
            yield goals.objectives[0].turned(max(point[0] for point in points))


def _aims(goals: Goals) -> str:
    return ", ".join(f"{one.metric} {one.mode}" for one in goals.objectives)


def _keys(settings: Sequence[Settings]) -> list[str]:
    """Returns a label for each config, which is equal for those that differ in their seeds only:
    what is not the same in all of them."""
    flat = [_flat(one) for one in settings]
    names = dict.fromkeys(name for one in flat for name in one)
    differing = [name for name in names if len({as_yaml(one.get(name)) for one in flat}) > 1]
    labels = []
    for one, own in zip(settings, flat, strict=True):
        groups = dict.fromkeys(name.partition(".")[0] for name in differing)
        words = [_word(group, one, own, differing) for group in groups]
        labels.append(", ".join(words) or text.name(one.strategy))
    return labels


def _word(
    group: str, settings: Settings, own: Mapping[str, Any], differing: Collection[str]
) -> str:
    """Says what is special in a group of a config: the class of its node, or the keys."""
    names = [name for name in differing if name.partition(".")[0] == group and name in own]
    if any(name.endswith("_target_") for name in names):
        return text.name(getattr(settings, group))
    return ", ".join(f"{text.clean(name)}={text.clean(as_yaml(own[name]))}" for name in names)


def _flat(settings: Settings) -> dict[str, Any]:
    """Returns what a config searches and how, by dotted path, without its seed."""
    plain = settings.model_dump()
    return {
        name: value
        for name, value in leaves_of(plain)
        if name.partition(".")[0] not in ASIDE and name.rpartition(".")[2] != "seed"
    }
