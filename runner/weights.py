"""Weights files: safetensors, written atomically and protected by a checksum.

The metadata contains a seal: the SHA-256 of the file with zeros in place of the seal.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import IO

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from runner.errors import RunnerError, message

SEAL = "runner/sha256"
BLANK = "0" * 64
_SEALED = re.compile(rb'"runner/sha256":"([0-9a-f]{64})"')
_LENGTH = 8  # bytes of the header length at the start of a file
_LONGEST = 100 << 20  # largest header in bytes that safetensors allows
_CHUNK = 1 << 20


class WeightsError(RunnerError):
    """A weights file that cannot be used."""


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes a model's weights atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        save_model(model, str(partial), metadata={SEAL: BLANK})
        _seal(partial)
    except SafetensorError as error:  # it reports a full disk only in its message
        partial.unlink(missing_ok=True)
        if code := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(code[1])
            raise OSError(number, os.strerror(number), str(path)) from error
        raise
    partial.replace(path)


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads weights written by `save_weights` into a model of the same architecture. Raises
    WeightsError if they are missing, damaged, or belong to another architecture."""
    check_weights(path)
    try:
        load_model(model, str(path))
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit the model: {message(error)}") from error


def check_weights(path: Path) -> None:
    """Raises WeightsError for a missing, empty or damaged file. Older files have no seal."""
    try:
        with path.open("rb") as file:
            head = _head(file)
            found = _SEALED.search(head)
            intact = f'"{SEAL}"'.encode() not in head
            if found is not None:
                intact = found[1].decode() == _digest(file, found[1].decode())
    except FileNotFoundError as error:
        raise WeightsError(f"{path} does not exist") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if not path.stat().st_size:
        raise WeightsError(f"{path} is empty")
    if not intact:
        raise WeightsError(f"{path} is damaged: its checksum does not match")


def _seal(path: Path) -> None:
    """Writes the digest of a new file in place of the zeros."""
    with path.open("r+b") as file:
        found = _SEALED.search(_head(file))
        if found is not None:
            digest = _digest(file, BLANK)
            file.seek(found.start(1))
            file.write(digest.encode())


def _head(file: IO[bytes]) -> bytes:
    """Returns the length and the header of a safetensors file; less if it is truncated."""
    file.seek(0)
    length = file.read(_LENGTH)
    return length + file.read(min(int.from_bytes(length, "little"), _LONGEST))


def _digest(file: IO[bytes], seal: str) -> str:
    """Returns the SHA-256 of a file with zeros in place of its seal."""
    digest = hashlib.sha256(_head(file).replace(seal.encode(), BLANK.encode(), 1))
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
