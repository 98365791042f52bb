"""What libraries write to standard error past Python, kept from the terminal for a while."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

STDERR = 2  # its file descriptor


@contextmanager
def native_output() -> Iterator[IO[bytes]]:
    """Yields a file that gets what is written to the file descriptor of standard error in the
    block. What Python writes to `sys.stderr` goes where it always does. No process may be started
    meanwhile."""
    with tempfile.TemporaryFile() as file:
        try:
            saved = os.dup(STDERR)
        except OSError:  # it is closed
            yield file
            return
        with _stream_to(saved):
            os.dup2(file.fileno(), STDERR)
            try:
                yield file
            finally:
                os.dup2(saved, STDERR)


def text_of(file: IO[bytes]) -> str:
    """Returns what such a file has got so far."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


@contextmanager
def _stream_to(fd: int) -> Iterator[None]:
    """Lets what Python writes to standard error go to another file descriptor, which is closed at
    the end, if it would go to the usual one."""
    before = sys.stderr
    aside = os.fdopen(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    try:
        with suppress(AttributeError, OSError, ValueError):  # no file at all
            if before.fileno() == STDERR:
                before.flush()
                sys.stderr = aside
        yield
    finally:
        sys.stderr = before
        with suppress(OSError):  # its reader has ended
            aside.close()
