"""A pilot: what a job of a batch system runs on a node. It hosts one worker, which takes trials one
after another, and talks to the driver through files in the folder of the run.

No clock of one machine is compared with that of another: a pilot tells whether there is a driver by
changes of a file, and how much of its time is left by its own clock.
"""

import contextlib
import importlib.util
import json
import logging
import os
import platform
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from filelock import FileLock, Timeout

from runner.errors import one_line
from runner.training.mailbox import Incoming, Message, Outgoing
from runner.training.trial_files import Seal
from runner.training.worker_host import WorkerHost

BEGIN = "begin.json"  # in the folder of all pilots: what a worker needs to begin
DRIVER = "driver"  # in the same folder; its content changes as long as there is a driver
FOLDER = "slurm"  # that folder, in the one of the run
LOCK, HOLDER = "lock", "holder.json"  # in the same folder; a driver holds the lock
PILOTS = "pilots"  # a folder in it, with a folder for each pilot
TIME, PREEMPTED = "its time was over", "preempted"  # why it was interrupted
BEAT = 5.0  # seconds between two signs of life
QUICK, SLOW = 0.01, 0.5  # seconds between two looks at the messages of the driver
EARLY = 70.0  # seconds that Slurm may be early with a signal
FAREWELL = 8.0  # seconds in which pilots that were told to end have ended
SETTLE = 0.3  # seconds in which a signal that ended the worker also reaches the pilot
log = logging.getLogger(__name__)
HANDLED = (signal.SIGTERM, signal.SIGUSR2)  # Slurm's, before a job is ended; submitit's choice


def inbox(post: Path, life: int) -> Path:
    """Returns the file of messages to a pilot in one of its lives: each time that its job is
    requeued, another begins."""
    return post / f"inbox.{life}.jsonl"


def outbox(post: Path, life: int) -> Path:
    """Returns the file of messages from a pilot in one of its lives, which is there as soon as that
    life has begun."""
    return post / f"outbox.{life}.jsonl"


def next_life(post: Path) -> int:
    """Returns the number of the life of a pilot that has not begun yet."""
    life = 0
    while outbox(post, life).exists():
        life += 1
    return life


def dismiss(post: Path) -> None:
    """Tells a pilot to end at once, even if it has not begun yet. Its driver must have ended."""
    life = next_life(post)
    for number in {max(0, life - 1), life}:
        box = Outgoing(inbox(post, number))
        box.send({"end": True})
        box.close()


def dismiss_all(folder: Path) -> None:
    """Tells all pilots that a killed driver of a run has left to end, and waits for them a while,
    so that no trial runs twice when the run goes on without them. Those of a driver that is alive
    go on."""
    root = folder / FOLDER
    if not (root / PILOTS).is_dir():
        return
    with contextlib.suppress(Timeout, OSError), FileLock(root / LOCK, timeout=0):
        posts = [p for p in (root / PILOTS).glob("*") if p.is_dir() and not p.is_symlink()]
        for post in posts:
            dismiss(post)
        (root / BEGIN).unlink(missing_ok=True)  # it may have secrets
        _wait_for([post for post in posts if next_life(post)])
        (root / DRIVER).unlink(missing_ok=True)
        for post in posts:  # one that has not begun finds the word that it is to end when it does
            if _has_ended(post):
                shutil.rmtree(post, ignore_errors=True)


def _wait_for(posts: Sequence[Path]) -> None:
    """Waits a while until pilots that have begun have ended."""
    deadline = time.monotonic() + FAREWELL
    while left := [post for post in posts if not _has_ended(post)]:
        if time.monotonic() > deadline:
            log.warning("%d jobs of an earlier session do not answer; if they are still running, "
                        "cancel them.", len(left))  # fmt: skip
            return
        time.sleep(SLOW / 5)


def _has_ended(post: Path) -> bool:
    """Returns whether a pilot has said of its last life that it is over."""
    last = Incoming(outbox(post, next_life(post) - 1))
    return any("ended" in message for message in last.receive())


@final
class Pilot:
    """One life of a pilot."""

    def __init__(self, post: Path, seconds: float, notice: float, idle: float) -> None:
        """`post` is the folder of its messages. Its job lasts `seconds`, and is told of its end
        `notice` seconds before. It ends after `idle` seconds without a driver."""
        self._post = post
        self._began, self._parent = time.monotonic(), os.getppid()
        self._seconds, self._notice, self._idle = seconds, notice, idle
        self._life = self._new_life()
        self._out = Outgoing(outbox(post, self._life))
        self._in = Incoming(inbox(post, self._life))
        self._host: WorkerHost | None = None
        self._hears = False  # whether there is a worker that has not ended
        self._busy = False  # whether it has a job
        self._over = ""  # why this life ends
        self._signal: int | None = None
        self._beaten = float("-inf")
        self._driver: tuple[str, float] = ("", self._began)  # its sign of life, and since when

    def _new_life(self) -> int:
        while True:
            life = next_life(self._post)
            with contextlib.suppress(FileExistsError):
                outbox(self._post, life).open("xb").close()
                return life

    def run(self) -> None:
        """Serves until the driver ends it, there is no driver, or its job is to end."""
        requeue = signal.getsignal(signal.SIGUSR2)
        before = {number: signal.signal(number, self._note) for number in HANDLED}
        left = self._seconds - self._notice
        job = os.environ.get("SLURM_JOB_ID", "")
        self._out.send({"began": platform.node(), "left": left, "slurm": job, "pid": os.getpid()})
        wait = QUICK
        try:
            self._renew()
            while not self._over:
                wait = QUICK if self._step(wait) else min(2 * wait, SLOW)
        except Exception as error:  # such as a module that this machine does not have
            self._out.send({"death": {"reason": "crashed", "text": one_line(error)}})
            raise
        finally:
            self._close_host()
            for number, handler in before.items():
                signal.signal(number, handler)
        self._out.send({"ended": self._over})
        if self._signal == signal.SIGUSR2 and callable(requeue):
            requeue(self._signal, None)

    def _note(self, number: int, frame: object) -> None:
        """Remembers a signal, which is obeyed where nothing is half done."""
        self._signal = number

    def _step(self, wait: float) -> bool:
        """Waits for a moment, and passes on what there is. Returns whether there was anything."""
        host = self._host
        if host is not None and self._hears:
            select.select([host.reports], [], [], wait)
        else:
            time.sleep(wait)
        heard = self._hear()
        if self._signal is not None:
            self._over = self._why()
            self._out.send({"interrupted": self._over})
            return True
        messages = [*self._in.receive()]
        for message in messages:
            self._obey(message)
        self._look(time.monotonic())
        return heard or bool(messages)

    def _why(self) -> str:
        left = self._seconds - (time.monotonic() - self._began)
        early = min(EARLY, self._seconds / 4)
        is_late = self._signal == signal.SIGUSR2 and left < self._notice + early
        return TIME if is_late else PREEMPTED

    def _hear(self) -> bool:
        """Passes on what the worker says."""
        if self._host is None or not self._hears:
            return False
        self._host.look(time.monotonic())
        parcel = self._host.hear()
        lines: list[Message] = [{"said": line.decode(errors="replace")} for line in parcel.lines]
        if any(_is_done(line) for line in parcel.lines):
            self._busy = False
        if parcel.death is not None:
            time.sleep(SETTLE)
            self._hears = False
            if self._signal is None:  # otherwise that ended it, and no fault of a trial
                lines.append({"death": dict(parcel.death)})
        if lines:
            self._out.send(*lines)
        return bool(lines)

    def _obey(self, message: Message) -> None:
        [(name, value)] = message.items()
        action: Callable[[Any], None] = getattr(self, f"_do_{name}")
        action(value)

    def _do_job(self, digest_and_job: tuple[str, Mapping[str, Any]]) -> None:
        digest, job = digest_and_job
        self._busy = True
        self._out.send({"took": digest, "trials": job["trials"]})
        self._say(job)

    def _do_stop(self, trial: int) -> None:
        self._say({"stop": trial})

    def _say(self, message: Message) -> None:
        if self._host is not None and self._hears:
            self._host.say(message, {})

    def _do_clock(self, _: object) -> None:
        """Tells what the time is by the clock of this machine, which is that of the reports."""
        self._out.send({"clock": time.monotonic()})

    def _do_terminate(self, _: object) -> None:
        if self._host is not None and self._hears:
            self._host.terminate()

    def _do_kill(self, _: object) -> None:
        if self._host is not None and self._hears:
            self._host.kill()

    def _do_restart(self, number: int) -> None:
        """Replaces the worker by a new one."""
        assert self._host is not None
        self._busy = False
        self._host.restart()
        self._hears = True
        self._out.send({"restarted": number})

    def _do_renew(self, number: int) -> None:
        """Replaces the host as well, as another driver wants it."""
        self._renew()
        self._out.send({"restarted": number})

    def _renew(self) -> None:
        self._close_host()
        found = json.loads((self._post.parents[1] / BEGIN).read_text(encoding="utf-8"))
        path = found["path"]
        sys.path += [entry for entry in path if entry not in sys.path and Path(entry).exists()]
        for name in found["needed"]:
            if importlib.util.find_spec(name) is None:
                raise ModuleNotFoundError(f"No module named '{name}' on {platform.node()}")
        seal = Seal(**found["seal"])
        self._host = WorkerHost(found["setup"], seal, found["devices"], found["threads"], None)
        self._hears, self._busy = True, False

    def _do_end(self, _: object) -> None:
        self._over = "dismissed"

    def _close_host(self) -> None:
        if self._host is not None:
            self._host.close()
        self._host, self._hears = None, False

    def _look(self, now: float) -> None:
        """Gives a sign of life from time to time, and looks for one of the driver."""
        if os.getppid() != self._parent:
            self._over = "its job was ended"
        if now < self._beaten + BEAT:
            return
        self._beaten = now
        self._out.send({"beat": True})
        with contextlib.suppress(OSError):
            sign = (self._post.parents[1] / DRIVER).read_text(encoding="utf-8")
            if sign != self._driver[0]:
                self._driver = sign, now
        if outbox(self._post, self._life + 1).exists():
            self._over = "its job runs again elsewhere"
        elif not self._post.is_dir():
            self._over = "its folder is gone"
        elif not self._busy and now > self._driver[1] + self._idle:
            self._over = "there is no driver"


def _is_done(line: bytes) -> bool:
    """Returns whether a worker says that it has tidied up after a job."""
    if b'"left"' not in line:
        return False
    try:
        return "left" in json.loads(line)
    except (ValueError, TypeError):
        return False
