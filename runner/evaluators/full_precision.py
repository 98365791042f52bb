"""Full float32 precision: without TF32, in which a GPU may multiply, with 10 bits of a mantissa."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

C: Any = torch._C
OPERATORS = ("conv", "matmul")  # whose precision of a GPU torch sets


@contextmanager
def full_precision() -> Iterator[None]:
    """Runs the block without TF32.

    Convolutions use it by default. Two equivalent kernels, of which one does and the other does
    not, such as a grouped and a plain convolution, differ by 0.001 after a few layers.
    """
    before = _read()
    _write(["ieee"] * len(OPERATORS) if _by_name() else [False] * len(OPERATORS))
    try:
        yield
    finally:
        _write(before)


def _by_name() -> bool:
    """Returns whether torch names precisions, since 2.9; reading the older switches then raises an
    error if a user has set the newer ones."""
    return hasattr(C, "_get_fp32_precision_getter")


def _read() -> list[Any]:
    if _by_name():
        return [C._get_fp32_precision_getter("cuda", name) for name in OPERATORS]
    return [C._get_cudnn_allow_tf32(), C._get_cublas_allow_tf32()]


def _write(values: list[Any]) -> None:
    if _by_name():
        for name, value in zip(OPERATORS, values, strict=True):
            C._set_fp32_precision_setter("cuda", name, value)
        return
    C._set_cudnn_allow_tf32(values[0])
    C._set_cublas_allow_tf32(values[1])
