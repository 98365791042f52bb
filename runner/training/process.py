"""The worker process of `local`: reads jobs and writes reports, as JSON lines."""

import ctypes
import json
import os
import platform
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # Linux: man 3 mallopt
PR_SET_PDEATHSIG = 1  # Linux: https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html


def main() -> None:
    """Runs jobs until standard input ends, which also happens when the driver ends."""
    _die_with_driver()
    keep_memory()
    reports, inbox = int(sys.argv[1]), Inbox()
    os.set_inheritable(reports, False)
    hello = inbox.jobs.get()
    sys.path[:0] = [entry for entry in hello["path"] if entry not in sys.path]

    import torch

    from runner.trial import Job, Report, Setup, trial_folder
    from runner.worker import Worker

    def send(message: object) -> None:
        rest = json.dumps(message).encode() + b"\n"
        while rest:
            rest = rest[os.write(reports, rest) :]

    def tell(report: Report) -> None:
        send(asdict(report))

    torch.set_num_threads(hello["threads"])
    setup = Setup.from_json(hello["setup"])
    worker = Worker(setup, torch.device(hello["device"]))
    worker.prepare()
    send("ready")
    with _output_to(Path(os.devnull)):
        worker.load()
    while True:
        job = Job(**inbox.jobs.get())
        with _output_to(trial_folder(setup.folder, job.number) / "output.txt"):
            worker.run(job, tell, inbox.stopped)


class Inbox:
    """Messages of the driver, received by a thread while the main thread trains.

    It reads its own file descriptor, unbuffered: a process forked by a trial closes its standard
    input, and would otherwise wait forever for the lock of a stream that this thread reads.
    """

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()  # the first message, then jobs
        self.stopped: set[int] = set()
        self._input = os.dup(0)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        rest = b""
        while chunk := os.read(self._input, 1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for message in map(json.loads, lines):
                if "stop" in message:
                    self.stopped.add(message["stop"])
                else:
                    self.jobs.put(message)
        os._exit(0)  # the driver has ended


def _die_with_driver() -> None:
    """Makes Linux kill this process with its parent, even during a system call."""
    if sys.platform == "linux":
        parent = os.getppid()
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
    saved = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for fd, copy in enumerate(saved, start=1):
            os.dup2(copy, fd)
            os.close(copy)
        if log.is_file() and log.stat().st_size == 0:
            log.unlink()
