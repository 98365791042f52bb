"""A host of a worker as an actor: what Ray runs on a node. All its methods run in one thread."""

import asyncio
import contextlib
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from runner.training.trial_files import Files, Seal
from runner.training.worker_host import Parcel, WorkerHost

PATIENCE = 1.0  # seconds in which a host looks whether its worker is alive


@final
class HostActor:
    """A host whose methods wait without keeping others waiting."""

    def __init__(self) -> None:
        self._host: WorkerHost | None = None
        self._workers = 0  # that it has had

    async def begin(
        self,
        setup: Mapping[str, Any],
        needed: Sequence[str],
        seal: Seal,
        path: Sequence[str],
        devices: Sequence[str],
        threads: int,
        weights: bytes | None,
    ) -> tuple[str, bool]:
        """Starts the worker. Returns the name of the machine, and whether it sees the folder.

        `path` is where the driver finds modules, which this machine may have, too. Raises
        ModuleNotFoundError if a `needed` one is missing, which the worker will import.
        """
        sys.path += [entry for entry in path if entry not in sys.path and Path(entry).exists()]
        for name in needed:
            if importlib.util.find_spec(name) is None:
                raise ModuleNotFoundError(f"No module named '{name}'")
        self._host = WorkerHost(setup, seal, devices, threads, weights)
        return platform.node(), self._host.sees_folder

    async def say(self, message: Mapping[str, Any], files: Files) -> None:
        self._of_worker.say(message, files)

    async def hear(self) -> Parcel:
        """Returns what the worker says, as soon as it says something, or after a while."""
        host, number = self._of_worker, self._workers
        fd = os.dup(host.reports)
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fd, ready.set)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ready.wait(), PATIENCE)
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        if number != self._workers:  # it was replaced meanwhile
            return Parcel()
        host.look(time.monotonic())
        return host.hear()

    async def terminate(self) -> None:
        self._of_worker.terminate()

    async def kill(self) -> None:
        self._of_worker.kill()

    async def restart(self) -> None:
        """Replaces the worker by a new one."""
        self._workers += 1
        self._of_worker.restart()

    async def close(self) -> None:
        """Ends the worker with all that it started."""
        self._workers += 1
        self._of_worker.close()

    @property
    def _of_worker(self) -> WorkerHost:
        if self._host is None:
            raise RuntimeError("The host has not begun.")
        return self._host
