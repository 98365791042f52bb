"""Messages between machines that share a disk: files of JSON lines that are only appended to."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from runner.training.pipes import write_all

Message = Mapping[str, Any]


@final
class Outgoing:
    """The only writer of a file of messages."""

    def __init__(self, path: Path) -> None:
        """Creates the file if need be. A line that an earlier writer left torn is ended."""
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            write_all(self._fd, b"\n")

    def send(self, *messages: Message) -> None:
        """Appends messages, all at once."""
        lines = (json.dumps(message).encode() + b"\n" for message in messages)
        write_all(self._fd, b"".join(lines))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@final
class Incoming:
    """A reader of a file of messages, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0  # bytes that were read
        self._rest = b""  # the part of a line whose end is not there yet

    def receive(self) -> Iterator[Message]:
        """Yields the messages that have come since the last call. What is no message is skipped: a
        line that a writer, killed in the middle of it, left torn."""
        try:
            with self._path.open("rb") as file:  # opened anew, as network file systems need it
                file.seek(self._read)
                chunk = file.read()
        except OSError:
            return
        self._read += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                yield message
