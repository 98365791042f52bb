"""The ends of the pipes of a worker: messages to it and from it, as JSON lines."""

import fcntl
import json
import os
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

HIGH = 200  # file descriptors from here on are out of the way of trials


@final
class Outbox:
    """Messages to the driver. A process forked by a trial, and a trial that closed the pipe and
    opened another file in its place, send none."""

    def __init__(self, fd: int) -> None:
        self._fd = copied(fd)
        os.close(fd)
        self._file = _identity(self._fd)
        self._process = os.getpid()
        self._lock = threading.Lock()  # a trial may report from a thread
        os.register_at_fork(after_in_child=self._leave)

    def _leave(self) -> None:
        with suppress(OSError):
            os.close(self._fd)

    def is_open(self) -> bool:
        return _identity(self._fd) == self._file

    def send(self, message: object) -> None:
        if os.getpid() != self._process or not self.is_open():
            os._exit(1)
        with self._lock:
            write_all(self._fd, json.dumps(message).encode() + b"\n")


@final
class Inbox:
    """Messages of the driver, received by a thread while the main thread trains.

    It reads its own file descriptor, unbuffered: a process forked by a trial closes its standard
    input, and would otherwise wait forever for the lock of a stream that this thread reads.
    """

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stopped: set[int] = set()
        self._rest = b""  # of what was read
        self._input = copied(0)
        self._file = _identity(self._input)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)

    def first(self) -> Mapping[str, Any]:
        """Returns the first message; there is no thread yet. Ends the process if none comes."""
        while b"\n" not in self._rest:
            chunk = os.read(self._input, 1 << 16)
            if not chunk:
                os._exit(0)  # the driver has ended
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        message: Mapping[str, Any] = json.loads(line)
        return message

    def listen(self) -> None:
        """Receives the other messages, from now on."""
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Leaves the pipe to another process."""
        os.close(self._input)

    def is_open(self) -> bool:
        return _identity(self._input) == self._file

    def _listen(self) -> None:
        chunk = b""
        with suppress(Exception):  # a trial closed the pipe
            while True:
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for message in map(json.loads, lines):
                    if "stop" in message:
                        self.stopped.add(message["stop"])
                    else:
                        self.jobs.put(message)
                if not (chunk := os.read(self._input, 1 << 16)):
                    break
        os._exit(0)  # the driver has ended


def write_all(fd: int, rest: bytes) -> None:
    """Writes bytes to a file descriptor, all of them."""
    while rest:
        rest = rest[os.write(fd, rest) :]


def copied(fd: int) -> int:
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
