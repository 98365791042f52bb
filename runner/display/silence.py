"""How long nothing was said, and lines that say meanwhile what goes on. No rich."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

MOMENT = 1.5  # seconds of silence after which a line says what goes on
OFTEN = 60.0  # seconds of a wait after which lines become rare, since it is known to last
SELDOM = 60.0  # seconds between these
YOUNG = 30.0  # seconds; a process that is older did something else before it came here


@final
class Silence:
    """When something was said last, by any part of the program. Safe for threads."""

    def __init__(self, ago: float = 0.0) -> None:
        self.end(ago)

    @property
    def seconds(self) -> float:
        """How long nothing was said."""
        return time.monotonic() - self._since

    def end(self, ago: float = 0.0) -> None:
        """Notes that something was said, or begun, so many seconds ago."""
        self._since = time.monotonic() - ago


@final
class Heartbeat:
    """Calls `say`, from a thread of its own, whenever nothing was said for a moment, with the
    seconds since this began, and until it is stopped."""

    def __init__(
        self, silence: Silence, say: Callable[[float], None], moment: float = MOMENT
    ) -> None:
        self._silence = silence
        self._say = say
        self._moment = moment
        self._begun = time.monotonic()
        self._is_over = threading.Event()
        self._lock = threading.Lock()  # so that nothing is said once `stop` has returned
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Says nothing more. May be called twice."""
        self._is_over.set()
        with self._lock:
            return

    def _run(self) -> None:
        while not self._is_over.wait(self._left):
            with self._lock:
                if not self._is_over.is_set() and self._left <= 0:
                    self._silence.end()
                    self._say(time.monotonic() - self._begun)

    @property
    def _left(self) -> float:
        """The seconds after which a line is due, if nothing is said meanwhile."""
        lasts = time.monotonic() - self._begun
        return max((self._moment if lasts < OFTEN else SELDOM) - self._silence.seconds, 0.0)


@contextmanager
def loading() -> Iterator[None]:
    """Says while the rest of the program is imported that it is, if this takes longer than usual; a
    terminal that can be drawn over keeps no trace of it."""
    if sys.stdout is None or sys.stderr is None:  # closed by whoever began the process
        yield
        return
    keeps = not sys.stdout.isatty() or os.environ.get("TERM") in (None, "dumb", "unknown")
    said: list[float] = []

    def say(seconds: float) -> None:
        said.append(seconds)
        sys.stderr.write("Loading ...\n" if keeps else "\rLoading ...")
        sys.stderr.flush()

    heartbeat = Heartbeat(spoken, say)
    try:
        yield
    finally:
        heartbeat.stop()
        if said and not keeps:
            sys.stderr.write("\r\x1b[K")


def young(seconds: float) -> float:
    """Returns the age of a process, 0 if it is so old that it did something else before."""
    return seconds if seconds < YOUNG else 0.0


def age() -> float:
    """Returns for how many seconds this process has existed."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        born = ticks / os.sysconf("SC_CLK_TCK")
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - born, 0.0)
    except (AttributeError, IndexError, OSError, ValueError):  # no Linux
        return time.process_time()


spoken = Silence(young(age()))
