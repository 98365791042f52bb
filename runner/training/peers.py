"""The peers of a worker: one process for each further device on which its trials are trained.

To its driver, a worker with peers is as one without: a fault of a peer is a fault of the worker.
What they do in a job is in `leading` (the worker's part) and `following` (theirs).
"""

import json
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, final

from runner.training.leftovers import die_with_parent, ending
from runner.training.mailbox import Message
from runner.training.pipes import Outbox, write_all
from runner.training.worker_handle import GRACE

if TYPE_CHECKING:
    from runner.trial import Job

PATIENCE = 5.0  # seconds in which a failure of one process ends the training in another


@final
class Peer:
    """A peer, as the worker knows it."""

    def __init__(self, rank: int, pid: int, jobs: int, reports: int) -> None:
        self.rank = rank
        self.pid = pid
        self.reports = reports
        self.heard: queue.SimpleQueue[Message] = queue.SimpleQueue()  # of its job
        self._jobs = jobs
        self._rest = b""

    def say(self, message: Message) -> None:
        with suppress(BrokenPipeError):
            write_all(self._jobs, json.dumps(message).encode() + b"\n")

    def messages(self) -> Sequence[Message] | None:
        """Returns what it says now, once there is something to read; None once it can say nothing
        more. Raises ValueError if a trial wrote something else."""
        chunk = os.read(self.reports, 1 << 16)
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = [json.loads(line) for line in lines]
        if not all(isinstance(message, dict) for message in found):
            raise ValueError("A message is a mapping.")
        return found

    def end(self) -> str:
        """Waits for its end; returns how it has ended, for a sentence."""
        deadline = time.monotonic() + GRACE
        try:
            while time.monotonic() < deadline:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    return ending(os.waitstatus_to_exitcode(status))
                time.sleep(0.01)
        except ChildProcessError:
            return "has ended (code of a trial has taken its exit code)"
        return "closed its reports"

    def leave(self) -> None:
        """Leaves its pipes to other processes."""
        os.close(self._jobs)
        os.close(self.reports)


def fork_peers(count: int, follow: Callable[[int, int], object]) -> Sequence[Peer]:
    """Forks peers. In each, `follow` is called with its rank, from 1, and the file descriptor of
    its reports; its jobs come by standard input. There must be no threads yet."""
    peers: list[Peer] = []
    for rank in range(1, count + 1):
        peers.append(_fork(rank, follow, peers))
    return peers


def _fork(rank: int, follow: Callable[[int, int], object], others: Sequence[Peer]) -> Peer:
    jobs, ours = os.pipe()
    theirs, reports = os.pipe()
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(me)
            for other in others:
                other.leave()
            os.dup2(jobs, 0)
            for fd in (jobs, ours, theirs):
                os.close(fd)
            follow(rank, reports)
        finally:
            os._exit(1)
    os.close(jobs)
    os.close(reports)
    return Peer(rank, pid, ours, theirs)


@final
class Listener:
    """The thread that hears peers. What they say of a job goes to `heard` of each, for the main
    thread, and what the driver is to know, to the driver. Once a peer has ended, so does this
    process: no wait for a dead process is endless."""

    def __init__(
        self, peers: Sequence[Peer], outbox: Outbox, give_up: Callable[["Job", Message], NoReturn]
    ) -> None:
        """Begins to listen. `give_up` is to end this process, which is still at a job although a
        peer has failed in it; the message says how."""
        self.job: Job | None = None  # in which the peers take part; set by the main thread only
        self._peers, self._outbox, self._give_up = peers, outbox, give_up
        self._failing: tuple[float, Job, Message] | None = None  # until when, in which job, and how
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            waiting = select.poll()
            peers = {peer.reports: peer for peer in self._peers}
            for fd in peers:
                waiting.register(fd, select.POLLIN)
            while True:
                for fd, _ in waiting.poll(self._milliseconds()):
                    self._hear(peers[fd])
                self._enforce()
        finally:
            os._exit(1)

    def _hear(self, peer: Peer) -> None:
        try:
            messages = peer.messages()
        except ValueError:
            self._end(peer, "wrote something else to its reports")
        if messages is None:
            self._end(peer, peer.end())
        for message in messages:
            if "loading" in message:
                self._outbox.send({**message, "rank": peer.rank})
                continue
            job = self.job  # which the main thread may leave now
            if "failed" in message and job is not None and not message["is_consequence"]:
                self._failing = time.monotonic() + PATIENCE, job, message
            peer.heard.put(message)

    def _milliseconds(self) -> float | None:
        """Returns how long to wait for what peers say; None for as long as it takes."""
        if self._failing is None:
            return None
        return 1000 * max(0.0, self._failing[0] - time.monotonic())

    def _enforce(self) -> None:
        """Ends a training that goes on without a peer that has failed."""
        if self._failing is not None and time.monotonic() >= self._failing[0]:
            _, job, message = self._failing
            self._failing = None
            if job is self.job:
                self._give_up(job, message)

    def _end(self, peer: Peer, how: str) -> NoReturn:
        """Ends this process, as a peer is of no more use."""
        name = f"process {peer.rank + 1} of {1 + len(self._peers)} of the worker"
        self._outbox.send({"ended": f"{name} {how}"})
        os._exit(1)
