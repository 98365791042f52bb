"""A pilot as its driver knows it: one life of it, with its worker; and what earlier drivers heard
of it."""

import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from runner.training.mailbox import Incoming, Message, Outgoing
from runner.training.pilot import inbox, outbox
from runner.training.worker_handle import WorkerHandle
from runner.trial import ENDS, Failure, Job

CLOCK = 2.0  # seconds in which a pilot tells its time, or is not waited for
ANSWER = 8.0  # seconds in which a pilot kills its worker, or is given up itself
NO_TRACES = json.dumps({"left": {"restored": [], "remaining": []}})


def digest(job: Job) -> str:
    """Returns what tells a job from others, also in another process."""
    parts = [job.trials, job.seeds, job.samples, job.recipes, job.action]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@final
class PilotWorker(WorkerHandle):
    """The worker of a pilot, in one of its lives."""

    def __init__(self, post: Path, life: int) -> None:
        super().__init__(post.name)
        self.post, self.life = post, life
        self._out: Outgoing | None = Outgoing(inbox(post, life))
        self._in: Incoming | None = Incoming(outbox(post, life))
        self._said: list[str] = []  # by the worker, not read yet
        self._restart = 0  # the number of the restart that it is to be heard of first
        self._death: Failure | None = None
        self._first = 0.0  # when its job began, by the clock of its reports
        self._asked: float | None = None  # the monotonic second; for what the pilot's time is
        self._killed = float("inf")  # the monotonic second
        self._ends = float("inf")  # the monotonic second in which its time is over
        self._longest = 0.0  # seconds of a job
        self.ran = 0  # trials, so far
        self.beaten = time.monotonic()  # when it last gave a sign of life
        self.interrupted = ""  # why it did not go on, which is no fault of its trials
        self.is_over = False  # this life, with its worker

    @classmethod
    def of_past(cls, worker: "PilotWorker", job: Job, lines: Sequence[str]) -> "PilotWorker":
        """Returns a worker that says what another has said of a job, and has then ended."""
        made = cls(worker.post, worker.life)
        made._close()
        made.adopt(job, lines)
        made.is_over = True
        return made

    @property
    def origin(self) -> object:
        return self

    @property
    def gone(self) -> bool:
        return not self._said and (self._death is not None or self.is_over)

    @property
    def takes_jobs(self) -> bool:
        return super().takes_jobs and not self.is_over and self._death is None

    def is_spent(self, trials: int | None) -> bool:
        """Returns whether it has run as many trials as it should, or has no time for another as
        long as the longest so far."""
        is_late = self.ran > 0 and time.monotonic() + self._longest > self._ends
        return is_late or (trials is not None and self.ran >= trials)

    def run(self, job: Job, attempt: int) -> None:
        self.ran += len(job.trials)
        super().run(job, attempt)

    def adopt(self, job: Job, lines: Sequence[str]) -> None:
        """Goes on with a job that an earlier driver gave it, and what it has said of it so far. The
        last of that was said now, as far as is known without asking."""
        self.job, self.open, self.attempt = job, set(job.trials), 0
        self.started = self.heard = time.monotonic()
        times = [at for line in lines if isinstance(at := _parsed(line).get("at"), float)]
        if times and all(map(math.isfinite, times)):
            self._first = min(times)
            self._align(self.heard - max(times))
            if self._out is not None:  # it is known better as soon as the pilot answers
                self._asked = self.heard
                self.tell({"clock": None})
        self.ready = True
        self.ran += len(job.trials)
        self._said[:0] = lines

    def _align(self, lead: float) -> None:
        """Takes by how much our clock is ahead of that of the reports."""
        self._lead, self._asked = lead, None
        self.started = lead + self._first

    @property
    def _holds(self) -> bool:
        """Whether what it has said waits for the pilot to tell its time."""
        return self._asked is not None and time.monotonic() < self._asked + CLOCK

    def rest(self) -> None:
        self._longest = max(self._longest, time.monotonic() - self.started)
        super().rest()

    def say(self, message: Mapping[str, Any]) -> None:
        if "trials" in message:
            self.tell({"job": [digest(Job(**message)), message]})
        else:
            self.tell(message)

    def tell(self, message: Message) -> None:
        """Sends a message to the pilot."""
        if self._out is not None:
            self._out.send(message)

    def receive(self) -> bool:
        """Reads what the pilot has sent. Returns whether there is any news for its driver."""
        for message in self.messages():
            self._take(message)
        return (bool(self._said) and not self._holds) or self.gone

    def messages(self) -> Iterator[Message]:
        """Yields what the pilot has sent since the last call."""
        if self._in is not None:
            yield from self._in.receive()

    def _take(self, message: Message) -> None:
        now = self.beaten = time.monotonic()
        match message:
            case {"began": str(node), "left": int() | float() as left}:
                self.device, self._ends = node, now + left
            case {"restarted": int(number)}:
                self._restart = 0 if number == self._restart else self._restart
            case {"clock": float(at)} if self._asked is not None and math.isfinite(at):
                self._align(now - at)
            case {"interrupted": str(why)}:
                self.interrupt(why)
            case {"ended": str(why)}:
                self.interrupt(why)
            case {"said": str(line)} if not self._restart:
                self._said.append(line)
            case {"death": {"reason": str(reason), "text": str(text)}} if not self._restart:
                self._death = Failure(reason, text)

    def interrupt(self, why: str) -> None:
        """Hears no more of it, through no fault of its trials."""
        self.interrupted = self.interrupted or why
        self._leave()

    def lose(self, why: str) -> None:
        """Hears no more of it, for a reason that may lie in its trials. If it is alive after all,
        it is to end."""
        self._give_up(why)
        self.tell({"end": True})
        self._leave()

    def _leave(self) -> None:
        self.is_over = True
        self._close()

    def _close(self) -> None:
        if self._out is not None:
            self._out.close()
        self._out = self._in = None

    def dismiss(self) -> None:
        """Lets the pilot end."""
        self.tell({"end": True})
        self._leave()

    def _lines(self) -> Iterator[bytes]:
        if self._holds:
            return
        lines, self._said = self._said, []
        for line in lines:
            yield line.encode()

    def look(self, now: float) -> None:
        """Gives up a pilot that does not answer."""
        if now > self._killed + ANSWER and not self.gone:
            self.lose("its pilot does not answer")

    def terminate(self) -> None:
        self.tell({"terminate": True})

    def kill(self) -> None:
        self._killed = time.monotonic()
        self.tell({"kill": True})

    def _give_up(self, why: str) -> None:
        self._death = self._death or Failure("crashed", why)

    def successor(self, *, renewed: bool = False) -> "PilotWorker":
        """Lets the pilot replace its worker, and returns the new one; if `renewed`, as this driver
        wants it."""
        made = PilotWorker(self.post, self.life)
        made._close()
        made._out, made._in, self._out, self._in = self._out, self._in, None, None
        made.device, made.ran = self.device, self.ran
        made._ends, made._longest = self._ends, self._longest
        made._restart = time.monotonic_ns()
        made.tell({"renew" if renewed else "restart": made._restart})
        return made

    def death(self) -> Failure:
        return self.doomed or self._death or Failure("crashed", self.interrupted or "it is unknown")


@final
@dataclass
class Past:
    """What an earlier driver was told by a pilot in one of its lives."""

    done: dict[str, list[str]] = field(default_factory=dict)  # lines on jobs, by their digests
    current: str = ""  # the digest of the job that has not ended
    trials: Sequence[int] = ()  # of that job
    lines: list[str] = field(default_factory=list)  # on it
    is_over: bool = False  # that life

    @classmethod
    def of(cls, messages: Iterable[Message]) -> "Past":
        made = cls()
        for message in messages:
            made._add(message)
        return made

    def _add(self, message: Message) -> None:
        match message:
            case {"took": str(job), "trials": list(trials)}:
                self.current, self.trials, self.lines = job, trials, []
            case {"said": str(line)} if self.current:
                self._hear(line)
            case {"interrupted": _} | {"ended": _}:
                self.is_over = True
                self._drop()
            case {"restarted": _} | {"death": _}:
                self._drop()

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        if '"left"' in line and "left" in _parsed(line):
            self.done[self.current] = self.lines
            self.current, self.trials, self.lines = "", (), []

    def _drop(self) -> None:
        """The job goes no further; it is done if all its trials have ended."""
        found = map(_parsed, self.lines)
        ended = {line.get("trial") for line in found if line.get("kind") in ENDS}
        if self.current and ended >= {*self.trials}:
            self.done[self.current] = [*self.lines, NO_TRACES]
        self.current, self.trials, self.lines = "", (), []


def _parsed(line: str) -> Message:
    """Returns what a worker said; nothing if that is no message."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
