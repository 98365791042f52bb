"""Training in warm worker processes on this machine."""

import selectors
from collections.abc import Sequence
from dataclasses import replace
from typing import final

from runner.training.devices import check_threads, device_groups
from runner.training.fork_server import ForkServer, ahead, modules_of
from runner.training.scratch import Scratch
from runner.training.service import Limits
from runner.training.worker_pool import WorkerPool
from runner.training.worker_process import WorkerProcess, close_all
from runner.trial import Setup


@final
class Local(WorkerPool[WorkerProcess]):
    """A service of worker processes that import torch once and are replaced when they die."""

    def __init__(
        self,
        setup: Setup,
        *,
        device: str,
        devices_per_trial: int,
        workers: int | None,
        workers_per_device: int,
        threads: int,
        retries: int,
        trial_timeout: float | None,
        stall_timeout: float | None,
        max_failures: int | None,
        fail_fast: bool,
    ) -> None:
        limits = Limits(retries, trial_timeout, stall_timeout, max_failures, fail_fast)
        super().__init__(setup, limits)
        check_threads(threads)
        self._threads = threads
        self._devices = device_groups(device, workers, workers_per_device, devices_per_trial)
        processes = len(self._devices) * devices_per_trial
        check_threads(threads, processes)
        self._scratch = Scratch() if processes > 1 else None
        if self._scratch is not None:
            self.setup = replace(setup, shared_data=self._scratch.folder)
        self._selector = selectors.DefaultSelector()
        self._server: ForkServer | None = None
        self._own: list[ForkServer] = []  # to be closed
        for names in self._devices:
            self._spawn(names)

    @property
    def slots(self) -> int:
        return len(self._devices)

    def close(self) -> None:
        for worker in self._workers:
            self._selector.unregister(worker.reports)
        close_all(self._workers)
        self._workers.clear()
        self._waiting.clear()
        for server in self._own:
            server.close()
        if self._scratch is not None:
            self._scratch.close()

    def _wait(self, seconds: float) -> None:
        self._selector.select(seconds)

    def _look(self, now: float) -> None:
        if self._server is not None:
            self._server.look(now)

    def _replace(self, worker: WorkerProcess) -> None:
        self._selector.unregister(worker.reports)
        close_all([worker])
        self._workers.remove(worker)
        self._spawn(worker.devices)

    def _spawn(self, devices: Sequence[str]) -> None:
        worker = WorkerProcess(self.setup, devices, self._threads, self._fork_server())
        self._workers.append(worker)
        self._selector.register(worker.reports, selectors.EVENT_READ)

    def _fork_server(self) -> ForkServer | None:
        """Returns the server that forks the workers; None where that is impossible."""
        server = self._server or ahead.get()
        if server is None or not server.is_alive or server.threads != self._threads:
            if not ForkServer.is_possible():
                return None
            nodes = (self.setup.evaluator, self.setup.data, {"_target_": self.setup.engine})
            server = ForkServer(self._threads, modules_of(nodes))
            self._own.append(server)
        self._server = server
        return server
