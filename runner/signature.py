"""The key of this user, and what it signs: that a record was made by this user.

The key is a file that only its owner can read, in the user's config folder. A missing or unusable
key breaks no run; the run is then not signed.
"""

import hashlib
import hmac
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

SIZE = 32  # bytes of a key
PURPOSE = "runner: the config of a run"  # other uses of the key would have other words


class KeyUnusable(Exception):
    """There is no usable key; the message says why."""


def key_file() -> Path:
    """Returns the file of the user's key, below XDG_CONFIG_HOME or ~/.config. Raises
    KeyUnusable if the user has no home."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    try:  # https://specifications.freedesktop.org/basedir-spec: relative paths are ignored
        home = Path(given) if Path(given).is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise KeyUnusable("this user has no home folder") from error
    return home / "nas-runner" / "signing.key"


def sign(run: str, config: Mapping[str, Any]) -> str:
    """Returns the signature of a config in the run of this name. The key is created on first use.
    Raises KeyUnusable."""
    path = key_file()
    try:
        if not path.exists():
            _create(path)
    except OSError as error:
        raise KeyUnusable(f"the key {path} cannot be made: {error.strerror}") from error
    return _signature(_read(path), run, config)


def doubt(run: str, config: Mapping[str, Any], signature: str | None) -> str:
    """Returns why this user is not known to have signed a config in the run of this name; empty
    if the signature is by this user's key."""
    if signature is None:
        return "its record is not signed, or older than signatures"
    try:
        expected = _signature(_read(key_file()), run, config)
    except KeyUnusable as problem:
        return f"the signature of its record cannot be verified, since {problem}"
    given = signature.encode("utf-8", "surrogatepass")
    if hmac.compare_digest(expected.encode(), given):
        return ""
    return "its record is signed with another key"


def _signature(key: bytes, run: str, config: Mapping[str, Any]) -> str:
    text = json.dumps([PURPOSE, run, config], sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _create(path: Path) -> None:
    """Writes a new key, complete or not at all; another process may do so at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SIZE))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(name, path)  # unlike a rename, never replaces the key of another process
    finally:
        Path(name).unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyUnusable(f"the key {path} is not a file")
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
                raise KeyUnusable(f"the key {path} must belong to this user alone: chmod 600 it")
            key = file.read(SIZE + 1)
    except OSError as error:
        raise KeyUnusable(f"the key {path} cannot be read: {error.strerror}") from error
    if len(key) != SIZE:
        raise KeyUnusable(f"the key {path} does not have {SIZE} bytes; delete it")
    return key
