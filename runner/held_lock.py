"""A lock on a folder, and which process has it, on whatever machine."""

import json
import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from runner.errors import shown


class InUse(Exception):
    """Another process has the lock. The text says which, as in " (process 12 on node17)", or
    nothing."""


def acquire(lock: Path, holder: Path) -> FileLock:
    """Acquires a lock, and notes in the file `holder` who has it. Raises InUse."""
    made = FileLock(lock)
    try:
        made.acquire(timeout=0)
    except Timeout:
        raise InUse(who(holder)) from None
    try:
        holder.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
    except BaseException:
        made.release()
        raise
    return made


def who(holder: Path) -> str:
    """Says which process noted itself in a file, which anybody may have written; "" if unknown."""
    try:
        info = json.loads(holder.read_text())
        return f" (process {int(info['pid'])} on {shown(str(info['host']))[1:-1]})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
