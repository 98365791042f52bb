"""Weights files: safetensors, written atomically and protected by a checksum.

The metadata contains a seal: the SHA-256 of the file with zeros in place of the seal.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_file, save_model
from torch import nn
from torch.nn.parameter import is_lazy

from runner.errors import RunnerError, few, message
from runner.whole_files import whole

SEAL = "runner/sha256"
BLANK = "0" * 64
_SEALED = re.compile(rb'"runner/sha256":"([0-9a-f]{64})"')
_LENGTH = 8  # bytes of the header length at the start of a file
_LONGEST = 100 << 20  # largest header in bytes that safetensors allows
_CHUNK = 1 << 20
SHOWN = 3  # names in a message


class WeightsError(RunnerError):
    """A weights file that cannot be used."""


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes a model's weights atomically."""
    _write(path, lambda partial: save_model(model, partial, metadata={SEAL: BLANK}))


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path, texts: Mapping[str, str]) -> None:
    """Writes contiguous tensors that share no memory, and texts by name, atomically."""
    _write(path, lambda partial: save_file({**tensors}, partial, {**texts, SEAL: BLANK}))


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Returns the tensors and texts that `save_tensors` wrote. Raises WeightsError if the file is
    missing or damaged."""
    check_weights(path)
    try:
        with safe_open(str(path), "pt") as file:
            texts = {**(file.metadata() or {})}
            return {name: file.get_tensor(name) for name in file.keys()}, texts  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {message(error)}") from error


def _write(path: Path, write: Callable[[str], object]) -> None:
    """Writes a file atomically, and seals it."""
    try:
        with whole(path) as new:
            write(str(new))
            _seal(new)
    except SafetensorError as error:  # it reports a full disk only in its message
        if code := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(code[1])
            raise OSError(number, os.strerror(number), str(path)) from error
        raise


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads weights written by `save_weights` into a model of the same architecture. Raises
    WeightsError if they are missing, damaged, or belong to another architecture."""
    check_weights(path)
    try:
        others = _of_other_kinds(model, path)
        missing, unexpected = ([], []) if others else load_model(model, str(path), strict=False)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {message(error)}") from error
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} does not fit the model: {message(error)}") from error
    differences = [
        *([f"it lacks {_first(missing)}"] if missing else []),
        *([f"it has {_first(unexpected)}, unlike the model"] if unexpected else []),
        *others,
    ]
    if differences:
        raise WeightsError(f"{path} does not fit the model: {'; '.join(differences)}")


def _of_other_kinds(model: nn.Module, path: Path) -> list[str]:
    """Returns which tensors of a file differ in shape or type from those of a model; loading would
    convert types without a word."""
    wanted = {
        name: value
        for name, value in model.state_dict().items()
        if isinstance(value, torch.Tensor) and not is_lazy(value)
    }
    shapes, types = [], []
    with safe_open(str(path), "pt") as file:
        for name in file.keys():  # noqa: SIM118 (it has no __iter__)
            if name not in wanted:
                continue
            found, tensor = file.get_tensor(name), wanted[name]
            if found.shape != tensor.shape:
                shapes.append(f"{name!r} has shape {[*found.shape]}, not {[*tensor.shape]}")
            elif found.dtype != tensor.dtype:
                types.append(f"{name!r} is {_type(found)}, not {_type(tensor)}")
    differences = [*shapes, *types]
    more = len(differences) - SHOWN
    return [*differences[:SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _first(names: Collection[str]) -> str:
    return few([*map(repr, sorted(names))], SHOWN)


def check_weights(path: Path) -> None:
    """Raises WeightsError for a missing, empty or damaged file. Older files have no seal."""
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"{path} is not a file")
        with path.open("rb") as file:
            head = _head(file)
            found = _SEALED.search(head)
            intact = f'"{SEAL}"'.encode() not in head
            if found is not None:
                intact = found[1].decode() == _digest(file, found[1].decode())
    except FileNotFoundError as error:
        raise WeightsError(f"{path} does not exist") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
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
