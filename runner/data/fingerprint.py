"""What tells the contents of memory from others: of tensors and arrays, whatever edited them."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy
import torch
from torch import Tensor

SMALL = 1 << 24  # bytes up to which a checksum is taken, at 4 GB/s
LARGE = 1 << 32  # bytes up to which all are summed, at 12 GB/s; of more, some pages are looked at
ROW = 511  # words of a sum; odd, so that the changed signs of a row do not cancel out
CHUNK = 128  # rows that fit a cache, since they are summed twice
PAGE, PAGES = 1 << 12, 1 << 12
Memory = tuple[int, int]  # where it begins, and its bytes
Array = Tensor | numpy.ndarray[Any, Any]


def memory_of(array: Array) -> Memory | None:
    """Returns the memory of a tensor or of an array; None if it has none of its own that could be
    read, such as on the meta device, or if nothing can be written there."""
    try:
        if isinstance(array, Tensor):
            storage = array.untyped_storage()
            return storage.data_ptr(), storage.nbytes()
        if array.dtype.hasobject or not array.flags.writeable:
            return None
        return array.__array_interface__["data"][0], array.nbytes
    except Exception:  # sparse, or of a class that is no real tensor
        return None


def fingerprint(array: Array) -> int | None:
    """Returns a number that changes with the contents, or with their order: a checksum of small
    memory. In large memory, edits that leave equal all sums of 511 words of 8 bytes, along rows
    and columns, are not noticed, and above 4 GB those of one example may not be. None if the
    memory cannot be read."""
    try:
        return _of_bytes(_bytes(array), isinstance(array, numpy.memmap))
    except Exception:
        return None


def _bytes(array: Array) -> Tensor:
    """Returns the memory as a flat tensor of bytes; of a tensor that is a part, the whole."""
    if isinstance(array, Tensor):
        whole = torch.empty(0, dtype=torch.uint8, device=array.device)
        return whole.set_(array.untyped_storage())
    flat = numpy.ascontiguousarray(array).reshape(-1)
    return torch.from_numpy(flat.view(numpy.uint8))


def _of_bytes(found: Tensor, is_on_disk: bool) -> int:
    count = found.numel()
    if is_on_disk or count > LARGE:
        pages = found[: count // PAGE * PAGE].view(-1, PAGE)
        return _checksum([pages[:: max(1, len(pages) // PAGES)], found[-PAGE:]])
    if count <= SMALL:
        return _checksum([found])
    words = found[: count // 8 * 8].view(torch.int64)
    return _checksum([*_sums(words), found[count // 8 * 8 :]])


def _sums(words: Tensor) -> Iterator[Any]:
    """Yields the sums of all words along rows and columns, and the words behind the last row."""
    whole = words[: len(words) // ROW * ROW]
    yield words[len(whole) :]
    is_here = words.device.type == "cpu"
    chunks: Any = whole.numpy().reshape(-1, ROW) if is_here else whole.view(-1, ROW)  # NumPy's
    for first in range(0, len(chunks), CHUNK if is_here else len(chunks)):  # sums are faster
        chunk = chunks[first : first + CHUNK] if is_here else chunks
        yield chunk.sum(1)
        yield chunk.sum(0)


def _checksum(parts: Iterable[Any]) -> int:
    found = 0
    for part in parts:
        array: Any = part.cpu().numpy() if isinstance(part, Tensor) else part
        content: Any = numpy.ascontiguousarray(array).view(numpy.uint8)
        found = zlib.crc32(content, found)
    return found
