"""The trial whose model is being trained, as an evaluator may know it."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from runner.space.sample import Sample
from runner.trial import trial_folder

FILES = "files"  # a folder for what a user's code writes, in the folder of its trial


@final
@dataclass(frozen=True)
class RunningTrial:
    """A trial: its number, its sample, and a folder in which it may keep files of its own."""

    number: int
    sample: Sample
    folder: Path

    @classmethod
    def of(cls, run: Path, number: int, sample: Sample) -> "RunningTrial":
        """Returns a trial of the run in a folder."""
        return cls(number, sample, trial_folder(run, number) / FILES)
