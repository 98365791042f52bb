"""Training in this process, one job at a time; for debugging, since breakpoints in a model work."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import final

import torch

from runner.errors import Interrupted
from runner.process_care import ProcessCare
from runner.training.devices import check_threads, devices
from runner.training.leftovers import adopt_orphans, is_same_file
from runner.training.process_state import ProcessState
from runner.training.service import Limits, Traces, TrainingService, listed
from runner.trial import Job, Report, Setup
from runner.worker import Worker
from runner.worker_device import start

log = logging.getLogger(__name__)


@final
class Inline(TrainingService):
    """A service that runs a job when it is polled. It cannot end a hung trial, which takes another
    process. What a trial changes in this process is put back after it."""

    def __init__(
        self, setup: Setup, *, device: str, threads: int, max_failures: int | None, fail_fast: bool
    ) -> None:
        super().__init__(setup, Limits(max_failures=max_failures, fail_fast=fail_fast))
        check_threads(threads)
        around = ProcessCare(
            keep=self._keep,
            restore=self._restore,
            renewed=self._renewed,
            finish=self._finish,
            late=self._late,
        )
        self._worker = Worker(setup, torch.device(devices(device, 1, 1)[0]), around)
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(threads)
        self._state: ProcessState | None = None  # made with the first job
        self._traces = Traces()  # of the current job
        self._jobs: list[Job] = []
        self._stopped: set[int] = set()

    owns_terminal = True

    @property
    def slots(self) -> int:
        return 1

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def poll(self, handle: Callable[[Report], None], timeout: float) -> None:
        if not self._jobs:
            return
        job = self._jobs.pop(0)
        self._traces = Traces()
        with _interruptible(), _same_terminal(), _adopting():
            self._keep()
            self._worker.run(job, handle, self._stopped)
        self._stopped.difference_update(job.trials)
        if self._traces:
            self._left.append((job.trials, self._traces))
        if self._traces.remaining:
            log.warning("A trial left something behind that may affect later ones: %s (trial %s).",
                        listed(self._traces.remaining), job.number)  # fmt: skip

    def stop(self, trial: int) -> None:
        self._stopped.add(trial)

    def close(self) -> None:
        self._jobs.clear()
        torch.set_num_threads(self._threads_before)

    def _keep(self) -> None:
        if not self._worker.trains:  # results are looked up, which changes nothing
            return
        if self._state is None:
            with contextlib.suppress(RuntimeError):  # the job will fail again, and report it
                start(self._worker.device)
            self._state = ProcessState()
        else:
            self._state.keep()

    def _restore(self) -> None:
        if self._state is not None:
            self._traces += self._state.restore()

    def _renewed(self, what: str) -> None:
        self._traces += Traces((what,))

    def _late(self, what: str) -> bool:
        self._traces += Traces(remaining=(what,))
        return True

    def _finish(self) -> bool:
        if self._state is not None:
            self._traces += self._state.finish()
        return True


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Lets a real Ctrl-C be told from a KeyboardInterrupt that a trial raises."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise Interrupted(number)

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Takes over the children of children that a trial leaves, so that they can be ended."""
    adopt_orphans(True)
    try:
        yield
    finally:
        adopt_orphans(False)


@contextlib.contextmanager
def _same_terminal() -> Iterator[None]:
    """Restores standard input and output if a trial closed them or put others in their place."""
    saved = []
    for fd in range(3):
        with contextlib.suppress(OSError):
            saved.append((fd, os.dup(fd)))
    try:
        yield
    finally:
        for fd, copy in saved:
            with contextlib.suppress(OSError):  # a trial closed all files
                if not is_same_file(fd, copy):
                    os.dup2(copy, fd)
                os.close(copy)
