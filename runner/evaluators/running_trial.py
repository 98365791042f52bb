"""The trial whose model is being trained, as an evaluator may know it."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from runner.space.sample import Sample
from runner.trial import Job, trial_folder

FILES = "files"  # a folder for what a user's code writes, in the folder of its trial


@final
@dataclass(frozen=True)
class RunningTrial:
    """A trial: its number, its sample, and a folder in which it may keep files of its own."""

    number: int
    sample: Sample
    folder: Path


def running_trials(run: Path, job: Job) -> list[RunningTrial]:
    """Returns the trials of a job, of the run in a folder."""
    return [
        RunningTrial(number, sample, trial_folder(run, number) / FILES)
        for number, sample in zip(job.trials, job.samples, strict=True)
    ]
