"""Repeats: several trainings of one sample under seeds of their own, taken as one trial."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import final

from runner.trial import Trial


def merged(trials: Iterable[Trial]) -> list[Trial]:
    """Returns one trial for all trainings of a sample, with the number of the first.

    Its metrics are the means of the trainings, or, once the sample was confirmed, of the trainings
    that confirmed it, alone: those did not choose it. Merged trials are returned as they are.
    """
    repeats: dict[int, list[Trial]] = {}
    firsts = []
    for trial in trials:
        if trial.repeat_of is None:
            firsts.append(trial)
        else:
            repeats.setdefault(trial.repeat_of, []).append(trial)
    return [_merged(first, repeats.get(first.number, ())) for first in firsts]


def _merged(first: Trial, others: Sequence[Trial]) -> Trial:
    chosen_by = [trial for trial in others if trial.stage == first.stage]
    confirmed_by = [trial for trial in others if trial.stage != first.stage]
    result = taken_as_one(first, [first, *chosen_by])
    if not (confirmed_by and result.scored) or any(trial.running for trial in confirmed_by):
        return result
    confirmed = taken_as_one(result, confirmed_by)
    return replace(confirmed, confirmed=True) if confirmed.scored else confirmed


def taken_as_one(first: Trial, trainings: Sequence[Trial]) -> Trial:
    """Returns the first of some trainings of a sample with the means of those that have ended. It
    is as good as the worst of them: without a score if one of them has none, and outside a
    constraint if one of them is."""
    ended = [trial for trial in trainings if not trial.running]
    if first.running or not ended or (len(trainings) == 1 and trainings[0] is first):
        return first
    if bad := next((trial for trial in ended if not trial.scored), None):
        return replace(first, state=bad.state, failure=bad.failure, scores=())
    common = [name for name in first.metrics if all(name in trial.metrics for trial in ended)]
    values = {name: [trial.metrics[name] for trial in ended] for name in common}
    return replace(
        first,
        metrics={**first.metrics, **{name: fmean(found) for name, found in values.items()}},
        scores=tuple(map(fmean, zip(*(trial.scores for trial in ended), strict=True))),
        violation=max(trial.violation for trial in ended),
        trainings=len(ended),
        deviations={name: stdev(found) for name, found in values.items() if _vary(found)},
    )


def _vary(values: Sequence[float]) -> bool:
    """Returns whether values may differ from training to training. Equal whole numbers are counts,
    such as of parameters."""
    return len(values) > 1 and not (len({*values}) == 1 and float(values[0]).is_integer())


@dataclass
class _Trainings:
    """The trainings of one sample, of which some are still to be proposed or to end."""

    first: Trial | None = None  # as it was proposed
    owed: int = 0  # trainings that are to be proposed
    ended: dict[int, Trial] = field(default_factory=dict)
    followers: list[Trial] = field(default_factory=list)  # trials that share the result


@final
class SampleResults:
    """A fold over the trials of a search that trains each sample `count` times. It tells what they
    mean for samples; what is owed, only if it sees trials from their proposal on."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._open: dict[int, _Trainings] = {}  # by the number of the first trial
        self._results: dict[int, Trial] = {}

    @property
    def owed(self) -> Trial | None:
        """The first trial of a sample that is to be trained again, under another seed."""
        return next((group.first for group in self._open.values() if group.owed), None)

    @property
    def undecided(self) -> Collection[int]:
        """The first trials of the samples whose trainings have not ended."""
        return self._open.keys()

    def see(self, trial: Trial) -> Collection[Trial]:
        """Takes a trial that was recorded or has ended. Returns what this means for samples: that a
        first trial was recorded, or that the trainings of a sample have ended, with their means; or
        enough of them, if one has no result."""
        if self._count == 1:
            return [trial]
        if trial.running:
            return self._begin(trial)
        if trial.duplicate_of is not None:
            return self._share(trial, trial.duplicate_of)
        number = trial.number if trial.repeat_of is None else trial.repeat_of
        if number in self._results:
            return ()
        group = self._open.setdefault(number, _Trainings())
        group.ended[trial.number] = trial
        has_failed = not all(one.scored for one in group.ended.values())
        if has_failed:  # further trainings would not change this
            group.owed = 0
        if number not in group.ended or not (has_failed or len(group.ended) == self._count):
            return ()
        del self._open[number]
        result = taken_as_one(group.ended[number], [*group.ended.values()])
        self._results[number] = result
        return [result, *(_sharing(follower, result) for follower in group.followers)]

    def _begin(self, trial: Trial) -> Collection[Trial]:
        if trial.repeat_of is not None:
            if (group := self._open.get(trial.repeat_of)) is not None:
                group.owed -= 1
            return ()
        if trial.duplicate_of is None:
            self._open[trial.number] = _Trainings(trial, self._count - 1)
        return [trial]

    def _share(self, trial: Trial, owner: int) -> Collection[Trial]:
        if owner in self._open:
            self._open[owner].followers.append(trial)
            return ()
        known = self._results.get(owner)  # none of a trial that is not of the search
        return [trial if known is None else _sharing(trial, known)]


def _sharing(trial: Trial, result: Trial) -> Trial:
    """Returns a trial with the result of another one."""
    return replace(
        trial,
        state=result.state,
        metrics=result.metrics,
        scores=result.scores,
        violation=result.violation,
        failure=result.failure,
        trainings=result.trainings,
        deviations=result.deviations,
    )
