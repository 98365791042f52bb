"""The worker process of `local`: reads jobs and writes reports, as JSON lines."""

import ctypes
import fcntl
import json
import os
import platform
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.training.leftovers import adopt_orphans

if TYPE_CHECKING:
    from runner.training.service import Traces
    from runner.worker import ProcessCare

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # Linux: man 3 mallopt
HIGH = 200  # file descriptors from here on are out of the way of trials
PR_SET_PDEATHSIG = 1  # Linux: https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html


def main(reports: int) -> None:
    """Runs jobs until standard input ends, which also happens when the driver ends. However it
    ends, the process does not wait for threads that a trial has left.

    `reports` is the file descriptor for reports. The process is a new one, or was forked.
    """
    try:
        _serve(reports)
    except BaseException:  # before the first job; the driver hears of it as of any crash
        with suppress(Exception):
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(1)


def _serve(reports: int) -> None:
    die_with_parent(os.getppid())
    adopt_orphans(True)
    outbox, inbox = Outbox(reports), Inbox()
    outbox.send({"pid": os.getpid()})
    hello = inbox.jobs.get()
    _settle(hello)

    import torch

    from runner.errors import one_line
    from runner.training.service import Traces
    from runner.trial import ENDS, OUTPUT, Job, Report, Setup, trial_folder
    from runner.worker import Worker

    torch.set_num_threads(hello["threads"])
    setup = Setup.from_json(hello["setup"])
    traces: list[Traces] = []
    care = _care(outbox, inbox, traces)
    worker = Worker(setup, torch.device(hello["device"]), care)
    worker.prepare()
    outbox.send("ready")
    with _output_to(Path(os.devnull)):
        worker.load()
    care.keep()
    _close_output()

    def report(one: Report) -> None:
        if one.kind in ENDS:  # its files are complete when the driver hears of it
            _flush()
        outbox.send(asdict(one))

    def run_next() -> bool:
        job = Job(**inbox.jobs.get())
        with _output_to(trial_folder(setup.folder, job.number) / OUTPUT):
            is_fit = worker.run(job, report, inbox.stopped)
        outbox.send({"left": asdict(sum(traces, Traces()))})
        traces.clear()
        inbox.stopped.difference_update(job.trials)
        return is_fit

    try:
        while run_next():
            pass
    except BaseException as error:  # of a thread or a signal that a trial left
        outbox.send({"late": f"{one_line(error)}, raised after its end"})
    os._exit(0)


def _care(outbox: "Outbox", inbox: "Inbox", traces: "list[Traces]") -> "ProcessCare":
    """Returns what this process does between trials; adds what they left to `traces`."""
    from runner.training.process_state import ProcessState
    from runner.training.service import Traces
    from runner.worker import ProcessCare

    with _output_to(Path(os.devnull)):
        state = ProcessState()

    def finish() -> bool:
        traces.append(state.finish())
        if not (inbox.is_open() and outbox.is_open()):
            traces.append(Traces(remaining=("closed pipes",)))
        return not any(found.remaining for found in traces)

    def late(what: str) -> bool:
        traces.append(Traces(remaining=(what,)))
        return False

    return ProcessCare(
        keep=state.keep,
        restore=lambda: traces.append(state.restore()),
        renewed=lambda what: traces.append(Traces((what,))),
        finish=finish,
        late=late,
        loading=lambda begins: outbox.send({"loading": begins}),
    )


def _settle(hello: Mapping[str, Any]) -> None:
    """Takes over the folder, the environment and the search path of the driver."""
    keep_memory()
    with suppress(OSError):  # it was deleted
        os.chdir(hello["folder"])
    os.environ.clear()
    os.environ.update(hello["environment"])
    sys.path[:0] = [entry for entry in hello["path"] if entry not in sys.path]


def _close_output() -> None:
    """Sends what is written between jobs nowhere: nothing but what a trial left writes there."""
    with Path(os.devnull).open("wb") as nothing:
        for fd in (1, 2):
            os.dup2(nothing.fileno(), fd)


class Outbox:
    """Messages to the driver. A process forked by a trial, and a trial that closed the pipe and
    opened another file in its place, send none."""

    def __init__(self, fd: int) -> None:
        self._fd = _copy(fd)
        os.close(fd)
        self._file = _identity(self._fd)
        self._process = os.getpid()
        self._lock = threading.Lock()  # a trial may report from a thread
        os.register_at_fork(after_in_child=lambda: os.close(self._fd))

    def is_open(self) -> bool:
        return _identity(self._fd) == self._file

    def send(self, message: object) -> None:
        if os.getpid() != self._process or not self.is_open():
            os._exit(1)
        rest = json.dumps(message).encode() + b"\n"
        with self._lock:
            while rest:
                rest = rest[os.write(self._fd, rest) :]


class Inbox:
    """Messages of the driver, received by a thread while the main thread trains.

    It reads its own file descriptor, unbuffered: a process forked by a trial closes its standard
    input, and would otherwise wait forever for the lock of a stream that this thread reads.
    """

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()  # the first message, then jobs
        self.stopped: set[int] = set()
        self._input = _copy(0)
        self._file = _identity(self._input)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        threading.Thread(target=self._listen, daemon=True).start()

    def is_open(self) -> bool:
        return _identity(self._input) == self._file

    def _listen(self) -> None:
        rest = b""
        with suppress(Exception):  # a trial closed the pipe
            while chunk := os.read(self._input, 1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for message in map(json.loads, lines):
                    if "stop" in message:
                        self.stopped.add(message["stop"])
                    else:
                        self.jobs.put(message)
        os._exit(0)  # the driver has ended


def _copy(fd: int) -> int:
    """Returns a copy of a file descriptor, out of the way of those that a trial opens."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError:  # a low limit on open files
        return os.dup(fd)


def _identity(fd: int) -> tuple[int, int] | None:
    """Returns what tells a file from others; None if it is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def die_with_parent(parent: int) -> None:
    """Makes Linux kill this process with its parent, even during a system call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def keep_memory() -> None:
    """Makes the C library keep freed memory for the next step. Otherwise large tensors are mapped
    and unmapped in each step, and page faults dominate: 371 instead of 164 ms for four fused
    networks of 64 channels on images of 32 x 32."""
    if platform.libc_ver()[0] == "glibc":
        wanted = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
        for parameter, value in wanted.items():
            ctypes.CDLL(None).mallopt(parameter, value)


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Redirects the output of a trial to a file, which is removed if it stays empty."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError:  # a full disk, which the trial will report
        log = Path(os.devnull)
    saved = [_copy(fd) for fd in range(3)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        _flush()
        for fd, copy in enumerate(saved):
            with suppress(OSError):  # a trial closed all files
                os.dup2(copy, fd)
                os.close(copy)
        with suppress(OSError):
            if log.is_file() and log.stat().st_size == 0:
                log.unlink()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a trial closed its file
            stream.flush()
