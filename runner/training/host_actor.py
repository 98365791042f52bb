"""A host of a worker as an actor: what Ray runs on a node."""

import asyncio
import contextlib
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, final

from runner.training.trial_files import Files, Seal
from runner.training.worker_host import Parcel, WorkerHost

PATIENCE = 1.0  # seconds in which a host looks whether its worker is alive
T = TypeVar("T")


@final
class HostActor:
    """A host that answers while it works: its methods run in the thread of its event loop, and what
    may take a while in another one, in the order in which it was asked for."""

    def __init__(self) -> None:
        self._host: WorkerHost | None = None
        self._workers = 0  # that it has had
        # One thread, which lasts: Linux ends a process with the thread that started it.
        self._thread = ThreadPoolExecutor(1)
        self._turn = asyncio.Lock()  # held by who works with the host

    async def beat(self) -> None:
        """Answers, as long as this process does."""

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
        async with self._turn:
            host = await self._aside(
                WorkerHost, setup, seal, devices, threads, weights, True
            )  # fmt: skip
            self._host = host
        return platform.node(), host.sees_folder

    async def say(self, message: Mapping[str, Any], files: Files) -> None:
        async with self._turn:
            await self._aside(self._of_worker.say, message, files)

    async def hear(self) -> Parcel:
        """Returns what the worker says, as soon as it says something; after a while, nothing."""
        number = self._workers
        try:
            async with asyncio.timeout(PATIENCE), self._turn:
                fd = os.dup(self._of_worker.reports)
        except TimeoutError:  # there is no worker yet
            return Parcel()
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fd, ready.set)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ready.wait(), PATIENCE)
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        async with self._turn:
            if number != self._workers:  # it was replaced meanwhile
                return Parcel()
            return await self._aside(_heard, self._of_worker)

    async def terminate(self) -> None:
        async with self._turn:
            self._of_worker.terminate()

    async def kill(self) -> None:
        async with self._turn:
            self._of_worker.kill()

    async def restart(self) -> None:
        """Replaces the worker by a new one."""
        self._workers += 1
        async with self._turn:
            host, self._host = self._of_worker, None  # which it stays if there is no new worker
            await self._aside(host.restart)
            self._host = host

    async def close(self) -> None:
        """Ends the worker with all that it started."""
        self._workers += 1
        async with self._turn:
            await self._aside(self._of_worker.close)

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        """Returns what a function returns that may take a while."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    @property
    def _of_worker(self) -> WorkerHost:
        if self._host is None:
            raise RuntimeError("The host has no worker.")
        return self._host


def _heard(host: WorkerHost) -> Parcel:
    host.look(time.monotonic())
    return host.hear()
