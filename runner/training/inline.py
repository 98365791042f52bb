"""Training in this process, one job at a time; for debugging, since breakpoints in a model work."""

from collections.abc import Callable
from typing import final

import torch

from runner.training.devices import check_positive, devices
from runner.training.service import Limits, TrainingService
from runner.trial import Job, Report, Setup
from runner.worker import Worker


@final
class Inline(TrainingService):
    """A service that runs a job when it is polled. It cannot end a hung trial, which takes another
    process."""

    def __init__(
        self, setup: Setup, *, device: str, threads: int, max_failures: int | None, fail_fast: bool
    ) -> None:
        super().__init__(setup, Limits(max_failures=max_failures, fail_fast=fail_fast))
        check_positive(threads=threads)
        self._worker = Worker(setup, torch.device(devices(device, 1, 1)[0]))
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(threads)
        self._jobs: list[Job] = []
        self._stopped: set[int] = set()

    owns_terminal = True

    @property
    def slots(self) -> int:
        return 1

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def poll(self, handle: Callable[[Report], None], timeout: float) -> None:
        if self._jobs:
            job = self._jobs.pop(0)
            self._worker.run(job, handle, self._stopped)
            self._stopped.difference_update(job.trials)

    def stop(self, trial: int) -> None:
        self._stopped.add(trial)

    def close(self) -> None:
        self._jobs.clear()
        torch.set_num_threads(self._threads_before)
