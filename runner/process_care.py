"""What the process around a worker does for it, so that no trial notices another."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import final

from runner.evaluators.evaluator import TrainingRun
from runner.trial import Job


@final
@dataclass(frozen=True)
class ProcessCare:
    """What a worker calls, and when."""

    keep: Callable[[], object] = lambda: None  # the state of the process is as it should be
    restore: Callable[[], object] = lambda: None  # a trial may have changed it
    renewed: Callable[[str], object] = lambda what: None  # a trial changed what it is named after
    finish: Callable[[], bool] = lambda: True  # a job has ended; whether another may follow
    late: Callable[[str], bool] = lambda what: True  # what a trial raised behind its end; likewise
    loading: Callable[[bool], object] = lambda begins: None  # data is being loaded, or was
    # The models of a job are trained in the block, with the processes that take part in that.
    training: Callable[[Job, TrainingRun], AbstractContextManager[TrainingRun]] = lambda job, run: (
        nullcontext(run)
    )
