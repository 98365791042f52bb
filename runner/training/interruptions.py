"""Interruptions of trials that lose their jobs in a batch system, and when a trial is to blame."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import final

from runner.training.pilot import PREEMPTED, TIME
from runner.trial import CHECKPOINT, STATE, Failure, trial_folder

REQUEUES = 10  # times that a trial may lose its job without a word, before it is to blame
Stand = list[tuple[int, int]]


@final
class Interruptions:
    """What has interrupted the trials of a run. An interruption is no attempt, but a trial that
    would be interrupted again and again has failed."""

    def __init__(self, folder: Path, minutes: int) -> None:
        """Takes the folder of the run, and the minutes that each job has."""
        self._folder, self._minutes = folder, minutes
        self._cuts: dict[int, Stand] = {}  # trials that ran out of time -> where they stood
        self._lost: dict[int, int] = {}  # how often trials lost their jobs without a word

    def failure(self, trial: int, why: str) -> Failure | None:
        """Notes that a trial was interrupted; returns its failure if it is not to go on."""
        if why == TIME:
            return self._out_of_time(trial)
        self._lost[trial] = self._lost.get(trial, 0) + (why != PREEMPTED)
        if self._lost[trial] > REQUEUES:
            return Failure("crashed", f"it lost its Slurm job {REQUEUES} times ({why})")
        return None

    def _out_of_time(self, trial: int) -> Failure | None:
        """Returns a failure if it got no further than the last time."""
        stands = _stand(trial_folder(self._folder, trial))
        if self._cuts.get(trial) == stands:
            return Failure(
                "timed out",
                f"it takes longer than a Slurm job has ({self._minutes} minutes, "
                "training.time); evaluator.checkpoint would let it go on in the next one",
            )
        self._cuts[trial] = stands
        return None


def _stand(folder: Path) -> Stand:
    """Returns what changes as the training in a folder gets on, if it can go on elsewhere."""

    def stats() -> Iterator[tuple[int, int]]:
        for name in (CHECKPOINT, STATE):
            with contextlib.suppress(OSError):
                found = (folder / name).stat()
                yield found.st_mtime_ns, found.st_size

    return [*stats()]
