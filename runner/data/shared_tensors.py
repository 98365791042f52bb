"""Tensors that the workers of a machine share, so that data is loaded there once.

They are mapped from files, privately: what one worker writes into them no other one sees.
"""

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

FACTS = "tensors.json"
_place: ContextVar[tuple[Path, str] | None] = ContextVar("place", default=None)


@contextmanager
def shared_in(folder: Path | None, key: str) -> Iterator[None]:
    """What is loaded in the block is shared with other processes that name this folder and key;
    without a folder, with none."""
    token = _place.set(None if folder is None else (folder, key))
    try:
        yield
    finally:
        _place.reset(token)


def loaded_once(part: str, load: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Returns the CPU tensors that `load` returns; if another process of this machine has loaded
    them before, without calling it."""
    place = _place.get()
    if place is None or not place[0].is_dir():
        return load()
    folder, key = place
    name = hashlib.sha256(json.dumps([key, part]).encode()).hexdigest()[:32]
    try:
        lock = FileLock(folder / f"{name}.lock").acquire()
    except OSError:  # such as of a full disk
        return load()
    with lock:
        found = _read(folder / name)
        if found is None:
            tensors = load()
            _write(folder / name, tensors)
            found = _read(folder / name) or tensors
    return found


def _write(folder: Path, tensors: tuple[Tensor, ...]) -> None:
    """Writes tensors into a new folder; none at all if that fails."""
    partial = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
    with suppress(OSError):
        partial.mkdir()
        facts = []
        for number, tensor in enumerate(tensors):
            plain = tensor.detach().cpu().contiguous()
            if plain.numel():
                plain.view(-1).view(torch.uint8).numpy().tofile(partial / str(number))
            facts.append({"dtype": str(plain.dtype), "shape": [*plain.shape]})
        (partial / FACTS).write_text(json.dumps(facts), encoding="ascii")
        os.rename(partial, folder)  # noqa: PTH104
    shutil.rmtree(partial, ignore_errors=True)


def _read(folder: Path) -> tuple[Tensor, ...] | None:
    """Returns the tensors in a folder; None if there are none."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="ascii"))
        return (*(_mapped(folder / str(i), fact) for i, fact in enumerate(facts)),)
    except (OSError, RuntimeError, ValueError, KeyError):
        return None


def _mapped(path: Path, fact: dict[str, Any]) -> Tensor:
    dtype = getattr(torch, fact["dtype"].removeprefix("torch."))
    count = math.prod(fact["shape"])
    if not count:
        return torch.empty(fact["shape"], dtype=dtype)
    return torch.from_file(str(path), shared=False, size=count, dtype=dtype).view(fact["shape"])
