"""Folders of this machine that processes share while they run, and that do not outlive them."""

import errno
import fcntl
import os
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import final

PREFIX = f"runner-{os.getuid()}-"
LOCK = "lock"
TRIES = 10


@final
class Scratch:
    """A folder among the temporary ones of this machine, of this user alone.

    It is deleted by the last process that closes it. Those of processes that were killed are
    deleted by the next one that makes a folder.
    """

    def __init__(self, name: str | None = None) -> None:
        """Makes a folder, or joins the one of that name, which must be hard to guess."""
        root = Path(tempfile.gettempdir())
        _sweep(root)
        self.folder = root / f"{PREFIX}{name or uuid.uuid4().hex}"
        self._lock: int | None = None
        for _ in range(TRIES):  # another process may sweep it before it is locked
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = _locked(self.folder / LOCK, fcntl.LOCK_SH)
            if self._lock is not None and (self.folder / LOCK).exists():
                return
        raise OSError(errno.EAGAIN, "cannot be locked", str(self.folder))

    def close(self) -> None:
        """Leaves the folder. May be called twice."""
        if self._lock is not None:
            _delete_unused(self.folder, self._lock)
            os.close(self._lock)
            self._lock = None


def _locked(path: Path, how: int) -> int | None:
    """Returns the file descriptor of a locked file; None if that cannot be had."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(fd, how)
    except OSError:
        os.close(fd)
        return None
    return fd


def _delete_unused(folder: Path, lock: int) -> None:
    """Deletes a folder if nobody else holds its lock."""
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Deletes what killed processes of this user have left."""
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
                continue
            lock = _locked(folder / LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
