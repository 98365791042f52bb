"""Which part of its training a trial does, from where it goes on, and what it leaves to go on from:
the rungs of a fidelity, and the checkpoints of a training that may be interrupted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import final

from torch import nn

from runner.checkpoints import Checkpoints, TrainingState
from runner.evaluators.evaluator import Evaluator, Span
from runner.evaluators.training_state import fits
from runner.fidelity import Fidelity
from runner.space.sample import Sample
from runner.trial import Job, Metrics, Setup


def goes_on(fidelity: Fidelity, evaluator: type[Evaluator]) -> bool:
    """Returns whether trials go on from checkpoints: whether the rungs are numbers of epochs of an
    evaluator that can train a part of them."""
    return bool(evaluator.divides) and fidelity.key == f"evaluator.{evaluator.divides}"


@final
class PartialTraining:
    """The trainings of a run, whole or in parts."""

    def __init__(self, setup: Setup) -> None:
        self._fidelity = None if setup.fidelity is None else Fidelity(**setup.fidelity)
        self._checkpoints = Checkpoints(setup.folder, self._fidelity)

    def is_partial(self, sample: Sample) -> bool:
        """Returns whether the trial of a sample is not trained to the end."""
        return self._fidelity is not None and self._fidelity.is_partial(sample)

    def config(self, sample: Sample, evaluator: type[Evaluator]) -> Sample:
        """Returns the values for the config of a trial's evaluator: if it can train a part, the
        whole training is configured, so that all its rungs are parts of the same one."""
        fidelity = self._fidelity
        if fidelity is None or fidelity.key not in sample or not goes_on(fidelity, evaluator):
            return sample
        return {**sample, fidelity.key: fidelity.max}

    def starts(
        self, job: Job, models: Sequence[nn.Module], evaluator: Evaluator
    ) -> list[TrainingState | None]:
        """Returns the states from which the trials of a job go on; None: from the beginning. That
        of a trial that was interrupted has what it had reported."""
        return [
            self._own_start(job, place, model, evaluator)
            or self._start_of_parent(job, place, model, evaluator)
            for place, model in enumerate(models)
        ]

    def _own_start(
        self, job: Job, place: int, model: nn.Module, evaluator: Evaluator
    ) -> TrainingState | None:
        if self._every(evaluator) is None:
            return None
        return self._start(job, place, job.trials[place], model, evaluator)

    def _start_of_parent(
        self, job: Job, place: int, model: nn.Module, evaluator: Evaluator
    ) -> TrainingState | None:
        fidelity = self._fidelity
        if fidelity is None or not goes_on(fidelity, type(evaluator)) or not job.parents:
            return None
        parent = job.parents[place]
        found = parent is not None and self._start(job, place, parent, model, evaluator)
        return replace(found, reports=(), seconds=0.0) if found else None

    def _start(
        self, job: Job, place: int, trial: int, model: nn.Module, evaluator: Evaluator
    ) -> TrainingState | None:
        """Returns the state that a trial left, if another one can go on from it."""
        found = self._checkpoints.load(trial, job.seeds[place], job.samples[place])
        end = self._end(job.samples[place], evaluator)
        return found if found and found.epoch < end and fits(model, found) else None

    def _end(self, sample: Sample, evaluator: Evaluator) -> int:
        """Returns the epoch before which the training of a sample ends."""
        fidelity = self._fidelity
        if fidelity is not None and goes_on(fidelity, type(evaluator)):
            return fidelity.rungs[fidelity.rung(sample)]
        end: int = getattr(evaluator, evaluator.divides)
        return end

    @staticmethod
    def _every(evaluator: Evaluator) -> int | None:
        """Returns after how many epochs the states of trainings are saved; None: not at all."""
        return evaluator.saves_every if evaluator.divides else None

    def span(
        self,
        job: Job,
        states: Sequence[TrainingState | None],
        evaluator: Evaluator,
        reports: Callable[[int], Sequence[Metrics]],
        spent: Callable[[int], float] = lambda place: 0.0,
    ) -> Span | None:
        """Returns the part of the training that the trials of a job do, all from the same epoch on;
        None: all of it, at once. `reports` returns what the trial at a place has reported so far,
        and `spent` for how many seconds it has run, which are saved with its state."""
        fidelity, every = self._fidelity, self._every(evaluator)
        has_rungs = fidelity is not None and goes_on(fidelity, type(evaluator))
        if not has_rungs and every is None:
            return None
        before = [state for state in states if state is not None]
        begin, end = before[0].epoch if before else 0, self._end(job.samples[0], evaluator)

        def save(place: int, state: TrainingState) -> None:
            sample = job.samples[place]
            if state.epoch < end or self.is_partial(sample):
                seconds = spent(place) if state.epoch < end else 0.0  # another trial goes on
                left = replace(state, reports=reports(place), seconds=seconds)
                self._checkpoints.save(job.trials[place], job.seeds[place], sample, left)

        is_read = every is not None or any(map(self.is_partial, job.samples))
        return Span(begin, end, before, save if is_read else None, every)


def alike(states: Sequence[TrainingState | None]) -> list[list[int]]:
    """Returns the places of states of the same epoch, which can be trained side by side."""
    found: dict[int, list[int]] = {}
    for place, state in enumerate(states):
        found.setdefault(0 if state is None else state.epoch, []).append(place)
    return [*found.values()]
