"""The worker's part in jobs whose model is trained on several devices: its peers follow it."""

import os
import queue
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn, final

from runner.evaluators.data_parallel import is_disconnection, replica_group
from runner.evaluators.evaluator import TrainingRun
from runner.evaluators.replicas import ReplicaFailed
from runner.failures import leave_traceback
from runner.training.mailbox import Message
from runner.training.peers import PATIENCE, Listener, Peer
from runner.training.pipes import Outbox
from runner.training.service import Traces
from runner.trial import Failure, Job, Report, trial_folder

UNREST = "a training on another device that does not end"


class RemoteTraceback(Exception):
    """The traceback of an exception in another process, which is its message."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@final
class Leading:
    """What a worker does with its peers, in its main thread."""

    def __init__(self, peers: Sequence[Peer], outbox: Outbox, folder: Path, shared: Path) -> None:
        """`folder` is that of the run; the processes meet by files in `shared`."""
        self._peers, self._outbox = peers, outbox
        self._folder, self._shared = folder, shared
        self._listener = Listener(peers, outbox, self._give_up)
        self._is_followed = False  # whether the peers have been given the job

    @contextmanager
    def training(self, job: Job, run: TrainingRun) -> Iterator[TrainingRun]:
        """Trains the model of a job with the peers in the block. Raises ReplicaFailed if what goes
        wrong went wrong in a peer."""
        meeting = self._shared / f"replicas-{uuid.uuid4().hex}"
        self._listener.job, self._is_followed = job, True
        try:
            for peer in self._peers:
                peer.say({"job": vars(job), "meeting": str(meeting)})
            for peer in self._peers:  # one that cannot build the model would not join the group
                message = peer.heard.get()
                if "failed" in message:
                    raise _error(message)
            try:
                with replica_group(meeting, 0, len(self._peers) + 1, run.device) as group:
                    yield group.taking_part(run)
            except Exception as error:
                cause = self._cause() if is_disconnection(error) else None
                if cause is None:
                    raise
                raised = _error(cause)
                raise raised from raised.__cause__
        finally:
            self._listener.job = None
            meeting.unlink(missing_ok=True)

    def _cause(self) -> Message | None:
        """Returns the failure of a peer that is the consequence of no other; None if there is
        none. If a peer has died, this process ends meanwhile."""
        end = time.monotonic() + PATIENCE
        for peer in self._peers:
            with suppress(queue.Empty):
                message = peer.heard.get(timeout=max(0.0, end - time.monotonic()))
                if "failed" in message and not message["is_consequence"]:
                    return message
        return None

    def finish(self) -> Traces:
        """Waits until the peers have tidied up after a job, as the driver waits for this process.
        Returns what it left in them."""
        found = Traces()
        for peer in self._peers if self._is_followed else ():
            while "left" not in (message := peer.heard.get()):
                pass
            found += Traces(*(tuple(message["left"][name]) for name in ("restored", "remaining")))
        self._is_followed = False
        return found

    def _give_up(self, job: Job, message: Message) -> NoReturn:
        """Ends a training that goes on without a peer that has failed, and this process with it.
        Called in another thread."""
        error = _error(message)
        leave_traceback(trial_folder(self._folder, job.number), error)
        self._outbox.send(asdict(Report(job.number, "failed", failure=error.failure)))
        self._outbox.send({"left": asdict(Traces(remaining=(UNREST,)))})
        os._exit(1)


def _error(message: Message) -> ReplicaFailed:
    """Returns the failure of a peer as an exception, whose cause shows the traceback there."""
    error = ReplicaFailed(Failure(**message["failed"]))
    error.__cause__ = RemoteTraceback(message["traceback"])
    return error
