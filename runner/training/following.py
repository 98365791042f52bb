"""The part of a peer in the jobs of its worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import final

from runner.evaluators.data_parallel import is_disconnection, replica_group
from runner.evaluators.evaluator import NotFinite, StopTraining, TrainingRun
from runner.failures import failure_of, located, traceback_of
from runner.training.mailbox import Message
from runner.training.pipes import Outbox
from runner.trial import Job


@final
class Following:
    """What a peer says of a job: that it is ready or why it is not, and why it has failed."""

    def __init__(self, outbox: Outbox, rank: int, size: int) -> None:
        self._outbox = outbox
        self._rank, self._size = rank, size
        self._meeting = Path()
        self._has_failed = self._is_check = False

    def begin(self, message: Message) -> Job:
        """Returns the job of a message of the worker."""
        job = Job(**message["job"])
        self._meeting, self._has_failed = Path(message["meeting"]), False
        self._is_check = job.action == "check"
        return job

    @contextmanager
    def training(self, job: Job, run: TrainingRun) -> Iterator[TrainingRun]:
        """Trains the model of a job with the worker and its other peers in the block."""
        self._outbox.send({"ready": True})
        with replica_group(self._meeting, self._rank, self._size, run.device) as group:
            try:
                yield group.taking_part(run)
            except (NotFinite, StopTraining):  # in all processes
                raise
            except BaseException as error:  # said first: to leave the group may take long
                self.fail(error)
                raise

    def fail(self, error: BaseException) -> None:
        """Says why the job has failed, once."""
        if not self._has_failed:
            self._has_failed = True
            failure = located(error) if self._is_check else failure_of(error)
            self._outbox.send({
                "failed": asdict(failure), "traceback": traceback_of(error),
                "is_consequence": is_disconnection(error),
            })  # fmt: skip
