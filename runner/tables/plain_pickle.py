"""Reads pickles that hold plain values: nothing that they name is imported or called."""

import pickle
import struct
from pathlib import Path
from typing import Any, final

from runner.errors import ConfigError, one_line

FORMATS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i"}  # of the scalars of NumPy


def load_plain(path: Path) -> Any:
    """Returns the content of a pickle of dicts, lists, texts, numbers, and scalars of NumPy, which
    become numbers. Raises ConfigError for anything else, and for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ConfigError(f"The table {str(path)!r} cannot be read: {one_line(error)}") from error


@final
class _Dtype:
    """Stands for a `numpy.dtype` of one number."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in FORMATS:
            raise pickle.UnpicklingError(f"numbers of type {code!r} are not expected")
        self.format = FORMATS[code]

    def __setstate__(self, state: object) -> None:
        """Ignores the byte order, which is little on all machines that write such tables."""


def _scalar(dtype: _Dtype, data: bytes) -> float:
    number: float
    [number] = struct.unpack(dtype.format, data)
    return number


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r} are not expected")
    return text.encode("latin1")


@final
class _PlainUnpickler(pickle.Unpickler):
    """An unpickler for which a pickle can name the scalars of NumPy and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        if name == "scalar" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _scalar
        if (module, name) == ("_codecs", "encode"):  # how old protocols write bytes
            return _encoded
        raise pickle.UnpicklingError(f"it names {module}.{name}; only plain values are read")
