"""What is done to a run while it runs. Linux only."""

import contextlib
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

PAUSE = 1.0  # seconds that a driver is stopped
STARVED = 0.5  # seconds without memory or disk


@final
@dataclass(frozen=True)
class Victim:
    """A run that is disturbed: its driver, its folder, and the random numbers that choose."""

    driver: int  # the process
    workers: Callable[[int], list[int]]  # of a driver: the processes that work for it
    folder: Path
    rng: random.Random

    def worker(self) -> int | None:
        """A process that works for the driver."""
        found = self.workers(self.driver)
        return self.rng.choice(found) if found else None


def kill_worker(victim: Victim) -> bool:
    """Kills a worker, or the server that forks them."""
    return _send(victim.worker(), signal.SIGKILL)


def stop_worker(victim: Victim) -> bool:
    """Stops one, which the driver is to notice."""
    return _send(victim.worker(), signal.SIGSTOP)


def kill_driver(victim: Victim) -> bool:
    """Kills the driver, which is then resumed."""
    return _send(victim.driver, signal.SIGKILL)


def stop_driver(victim: Victim) -> bool:
    """Stops the driver for a while."""
    done = _send(victim.driver, signal.SIGSTOP)
    time.sleep(PAUSE)
    _send(victim.driver, signal.SIGCONT)
    return done


def starve_memory(victim: Victim) -> bool:
    """Lets a worker allocate nothing more for a while."""
    worker = victim.worker()
    if worker is None:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
        before = resource.prlimit(worker, resource.RLIMIT_AS)
        resource.prlimit(worker, resource.RLIMIT_AS, (1 << 20, before[1]))
        time.sleep(STARVED)
        resource.prlimit(worker, resource.RLIMIT_AS, before)
        return True
    return False


def fill_disk(victim: Victim) -> bool:
    """Leaves no space on the file system of the run for a while."""
    filler = victim.folder.parent / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        time.sleep(STARVED)
    finally:
        filler.unlink(missing_ok=True)
    return True


def _send(process: int | None, number: int) -> bool:
    if process is None:
        return False
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


# With how often each is chosen. To resume a driver takes seconds, in which nothing is disturbed.
FAULTS: Mapping[Callable[[Victim], bool], int] = {
    kill_worker: 8,
    stop_worker: 6,
    starve_memory: 4,
    stop_driver: 2,
    kill_driver: 1,
    fill_disk: 1,
}
