"""The peers of a worker: one process for each further device on which its trials are trained.

To its driver, a worker with peers is as one without: a fault of a peer is a fault of the worker.
"""

import json
import os
import queue
import select
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, final

from runner.training.leftovers import die_with_parent, process_status
from runner.training.mailbox import Message
from runner.training.pipes import Outbox, write_all

if TYPE_CHECKING:
    import torch

    from runner.evaluators.evaluator import TrainingRun
    from runner.evaluators.replicas import ReplicaFailed
    from runner.training.service import Traces
    from runner.trial import Job

CHECK = 1.0  # seconds between two looks at the peers
PATIENCE = 5.0  # seconds in which a failure of one process ends the training in another
REST = 3.0  # seconds that peers may take to tidy up after a job; the driver waits for 4
UNREST = "a training on another device that does not end"
DEATH = 2.0  # seconds between the last word of a process and its end


class RemoteTraceback(Exception):
    """The traceback of an exception in another process, which is its message."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@final
class Peer:
    """A peer, as the worker knows it."""

    def __init__(self, rank: int, pid: int, jobs: int, reports: int) -> None:
        self.rank = rank
        self.pid = pid
        self.reports = reports
        self.is_loading = False
        self.heard: queue.SimpleQueue[Message] = queue.SimpleQueue()  # of its job
        self._jobs = jobs
        self._rest = b""

    def say(self, message: Message) -> None:
        with suppress(BrokenPipeError):
            write_all(self._jobs, json.dumps(message).encode() + b"\n")

    def lines(self) -> Sequence[bytes] | None:
        """Returns the lines that can be read now; None once it can say nothing more."""
        chunk = os.read(self.reports, 1 << 16)
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines

    def leave(self) -> None:
        """Leaves its pipes to other processes."""
        os.close(self._jobs)
        os.close(self.reports)


@final
class Peers:
    """The peers of a worker. A thread hears what they say, and ends this process as a peer has
    ended: no wait for a dead process is endless."""

    def __init__(self, count: int, run: Path, shared: Path) -> None:
        """`run` is the folder of the run. The processes meet by files in another one."""
        self._count = count
        self._run, self._shared = run, shared
        self._peers: list[Peer] = []
        self._job: Job | None = None  # in which peers take part
        self._failed: tuple[float, Job, Message] | None = None  # when a peer did, in which, and how
        self._waits = False  # for data that a peer loads
        self._busy: list[Peer] = []  # those that have not tidied up after the job
        self._outbox: Outbox | None = None
        self._lock = threading.Lock()  # of what the driver is told of loading

    def fork(self, follow: Callable[[int, int], object]) -> None:
        """Forks the peers. In each, `follow` is called with its rank, from 1, and the file
        descriptor of its reports; its jobs come by standard input. There must be no threads yet."""
        for rank in range(1, self._count + 1):
            self._peers.append(self._fork(rank, follow))

    def _fork(self, rank: int, follow: Callable[[int, int], object]) -> Peer:
        jobs, ours = os.pipe()
        theirs, reports = os.pipe()
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(me)
                for one in self._peers:
                    one.leave()
                os.dup2(jobs, 0)
                for fd in (jobs, ours, theirs):
                    os.close(fd)
                follow(rank, reports)
            finally:
                os._exit(1)
        os.close(jobs)
        os.close(reports)
        return Peer(rank, pid, ours, theirs)

    def listen(self, outbox: Outbox) -> None:
        """Hears the peers from now on. What the driver is to know goes to the `outbox`."""
        self._outbox = outbox
        threading.Thread(target=self._listen, args=[outbox], daemon=True).start()

    # Of the thread

    def _listen(self, outbox: Outbox) -> None:
        waiting = select.poll()
        peers = {peer.reports: peer for peer in self._peers}
        for fd in peers:
            waiting.register(fd, select.POLLIN)
        looked = time.monotonic()
        while True:
            for fd, _ in waiting.poll(1000 * CHECK):
                self._hear(peers[fd], outbox)
            if (now := time.monotonic()) > looked + CHECK:
                looked = now
                for peer in self._peers:
                    _look(peer)
            if (failed := self._failed) is not None and looked > failed[0] + PATIENCE:
                self._failed = None
                if self._job is failed[1]:
                    self._end(*failed[1:], outbox)

    def _hear(self, peer: Peer, outbox: Outbox) -> None:
        lines = peer.lines()
        if lines is None:
            _end_like(peer)
        for message in map(_parsed, lines):
            if "loading" in message:
                peer.is_loading = message["loading"]
                self._tell_loading()
                continue
            job = self._job  # which the main thread may leave now
            if "failed" in message and job is not None and not message["is_consequence"]:
                self._failed = time.monotonic(), job, message
            peer.heard.put(message)

    def _tell_loading(self) -> None:
        """Tells the driver whether a training waits for data that a peer loads."""
        with self._lock:
            loading = self._job is not None and any(peer.is_loading for peer in self._peers)
            if loading != self._waits and self._outbox is not None:
                self._waits = loading
                self._outbox.send({"loading": loading})

    def _end(self, job: "Job", message: Message, outbox: Outbox) -> NoReturn:
        """Ends a training that goes on without a peer that has failed, and this process with it."""
        from runner.failures import leave_traceback
        from runner.training.service import Traces
        from runner.trial import Report, trial_folder

        error = _error(message)
        leave_traceback(trial_folder(self._run, job.number), error)
        outbox.send(asdict(Report(job.number, "failed", failure=error.failure)))
        outbox.send({"left": asdict(Traces(remaining=(UNREST,)))})
        os._exit(1)

    # Of the worker

    @contextmanager
    def training(self, job: "Job", run: "TrainingRun") -> "Iterator[TrainingRun]":
        """Trains the model of a job with the peers in the block. Raises ReplicaFailed if what goes
        wrong went wrong in a peer."""
        from runner.evaluators.data_parallel import is_disconnection, replica_group

        meeting = self._shared / f"replicas-{uuid.uuid4().hex}"
        self._job, self._failed, self._busy = job, None, [*self._peers]
        self._tell_loading()  # a peer may have begun before there was a job
        try:
            for peer in self._peers:
                peer.heard = queue.SimpleQueue()
                peer.say({"job": vars(job), "meeting": str(meeting)})
            for peer in self._peers:
                message = peer.heard.get()
                if "failed" in message:
                    raise _error(message)
            try:
                with replica_group(meeting, 0, self._count + 1, run.device) as group:
                    yield group.taking_part(run)
            except Exception as error:
                cause = self._cause() if is_disconnection(error) else None
                if cause is None:
                    raise
                raised = _error(cause)
                raise raised from raised.__cause__
        finally:
            self._job = self._failed = None
            self._tell_loading()
            meeting.unlink(missing_ok=True)

    def _cause(self) -> Message | None:
        """Returns the failure of a peer that is the consequence of no other; None if there is
        none. If a peer has died, so does this process."""
        end = time.monotonic() + PATIENCE
        for peer in self._peers:
            with suppress(queue.Empty):
                message = peer.heard.get(timeout=max(0.0, end - time.monotonic()))
                if "failed" in message and not message["is_consequence"]:
                    return message
        return None

    def finish(self) -> "Traces":
        """Waits until the peers have tidied up after a job. Returns what it left in them."""
        from runner.training.service import Traces

        end = time.monotonic() + REST
        found = Traces()
        for peer in self._busy:
            found += _left(peer, end)
        self._busy = []
        return found


@final
class Following:
    """The part of a peer in a job: what it says of it."""

    def __init__(self, outbox: Outbox, rank: int, size: int) -> None:
        self._outbox = outbox
        self._rank, self._size = rank, size
        self._meeting = Path()
        self._has_failed = False

    def begin(self, message: Message) -> "Job":
        """Returns the job of a message of the worker."""
        from runner.trial import Job

        self._meeting, self._has_failed = Path(message["meeting"]), False
        return Job(**message["job"])

    @contextmanager
    def training(self, job: "Job", run: "TrainingRun") -> "Iterator[TrainingRun]":
        """Trains the model of a job with the worker and its other peers in the block."""
        from runner.evaluators.data_parallel import replica_group
        from runner.evaluators.evaluator import NotFinite, StopTraining

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
        from runner.evaluators.data_parallel import is_disconnection
        from runner.failures import failure_of, traceback_of

        if not self._has_failed:
            self._has_failed = True
            self._outbox.send({
                "failed": asdict(failure_of(error)), "traceback": traceback_of(error),
                "is_consequence": is_disconnection(error),
            })  # fmt: skip


def meet(meeting: Path, rank: int, size: int, device: "torch.device") -> None:
    """Meets the other processes for the first time: what is imported for that, and what torch says
    once, comes before the first trial."""
    from runner.evaluators.data_parallel import replica_group, warm_up

    with replica_group(meeting, rank, size, device) as group:
        warm_up(group, device)
    meeting.unlink(missing_ok=True)


def _parsed(line: bytes) -> Message:
    """Returns a message of a peer. Ends this process if a trial wrote something else."""
    try:
        message = json.loads(line)
    except ValueError:
        os._exit(1)
    return message if isinstance(message, dict) else {}


def _error(message: Message) -> "ReplicaFailed":
    """Returns the failure of a peer as an exception, whose cause shows the traceback there."""
    from runner.evaluators.replicas import ReplicaFailed
    from runner.trial import Failure

    error = ReplicaFailed(Failure(**message["failed"]))
    error.__cause__ = RemoteTraceback(message["traceback"])
    return error


def _left(peer: Peer, end: float) -> "Traces":
    """Returns what a job left in a peer, or that it does not end."""
    from runner.training.service import Traces

    with suppress(queue.Empty):
        while True:
            message = peer.heard.get(timeout=max(0.0, end - time.monotonic()))
            if "left" in message:
                names = ("restored", "remaining")
                return Traces(*(tuple(message["left"][name]) for name in names))
    return Traces(remaining=(UNREST,))


def _look(peer: Peer) -> None:
    """Lets a peer that a trial stopped go on. One whose main thread has ended is ended."""
    status = process_status(peer.pid)
    if status == "T":
        os.kill(peer.pid, signal.SIGCONT)
    elif status == "Z":
        _end_like(peer)


def _end_like(peer: Peer) -> NoReturn:
    """Ends this process as a peer has ended."""
    code, end = 1, time.monotonic() + DEATH
    with suppress(ChildProcessError):  # a trial has waited for it
        while time.monotonic() < end:
            pid, status = os.waitpid(peer.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                break
            time.sleep(0.01)
    if code < 0:
        os.kill(os.getpid(), -code)
        time.sleep(DEATH)  # a trial handles the signal
    os._exit(abs(code))
