"""Training up to a rung: which part of its training a trial does, and from where it goes on."""

from collections.abc import Callable, Sequence
from typing import final

from torch import nn

from runner.checkpoints import Checkpoints, TrainingState
from runner.evaluators.evaluator import Evaluator, Span
from runner.evaluators.training_state import fits
from runner.fidelity import Fidelity
from runner.space.sample import Sample
from runner.trial import Job, Setup


def goes_on(fidelity: Fidelity, evaluator: type[Evaluator]) -> bool:
    """Returns whether trials go on from checkpoints: whether the rungs are numbers of epochs of an
    evaluator that can train a part of them."""
    return bool(evaluator.divides) and fidelity.key == f"evaluator.{evaluator.divides}"


@final
class RungTraining:
    """The trainings of a run with a fidelity; without one, all are whole trainings."""

    def __init__(self, setup: Setup) -> None:
        self._fidelity = None if setup.fidelity is None else Fidelity(**setup.fidelity)
        self._folder = setup.folder

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
        self, job: Job, models: Sequence[nn.Module], evaluator: type[Evaluator]
    ) -> list[TrainingState | None]:
        """Returns the states from which the trials of a job go on; None: from the beginning."""
        fidelity = self._fidelity
        if fidelity is None or not goes_on(fidelity, evaluator) or not job.parents:
            return [None] * len(job.trials)
        rows = zip(job.parents, job.seeds, job.samples, models, strict=True)
        return [
            None if parent is None else self._start(fidelity, parent, seed, sample, model)
            for parent, seed, sample, model in rows
        ]

    def _start(
        self, fidelity: Fidelity, parent: int, seed: int, sample: Sample, model: nn.Module
    ) -> TrainingState | None:
        found = Checkpoints(self._folder, fidelity).load(parent, seed, sample)
        ends = fidelity.rungs[fidelity.rung(sample)]
        return found if found and found.epoch < ends and fits(model, found) else None

    def span(
        self, job: Job, states: Sequence[TrainingState | None], evaluator: type[Evaluator]
    ) -> Span | None:
        """Returns the part of the training that the trials of a job do, all from the same epoch on;
        None: all of it. States are saved for the trials of the next rung."""
        fidelity = self._fidelity
        if fidelity is None or not goes_on(fidelity, evaluator):
            return None
        before = [state for state in states if state is not None]
        begin, end = before[0].epoch if before else 0, fidelity.rungs[fidelity.rung(job.samples[0])]
        return Span(begin, end, before, self._saving(fidelity, job))

    def _saving(self, fidelity: Fidelity, job: Job) -> Callable[[int, TrainingState], None] | None:
        """Returns what saves the states of a job's trials; None if nothing goes on from them."""
        if not any(map(fidelity.is_partial, job.samples)):
            return None

        def save(place: int, state: TrainingState) -> None:
            number, sample = job.trials[place], job.samples[place]
            if fidelity.is_partial(sample):
                checkpoints = Checkpoints(self._folder, fidelity)
                checkpoints.save(number, job.seeds[place], sample, state)

        return save


def alike(states: Sequence[TrainingState | None]) -> list[list[int]]:
    """Returns the places of states of the same epoch, which can be trained side by side."""
    found: dict[int, list[int]] = {}
    for place, state in enumerate(states):
        found.setdefault(0 if state is None else state.epoch, []).append(place)
    return [*found.values()]
