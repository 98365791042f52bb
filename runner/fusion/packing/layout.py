"""Layouts of the values of several models in one tensor.

shared      one value for all models: (N, ...)
channels    concatenated along the second dimension: (N, K * C, ...)
stacked     stacked along a new first dimension: (K, N, ...)
folded      concatenated along the first dimension: (K * N, ...)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import final

import torch
from torch import Tensor


class Layout(StrEnum):
    """The arrangement of the values of several models in one tensor; see the module docstring."""

    SHARED = "shared"
    CHANNELS = "channels"
    STACKED = "stacked"
    FOLDED = "folded"


@final
@dataclass(frozen=True, slots=True, eq=False)
class LaidOutValue:
    """A tensor of the fused source: its name and the layout of its values."""

    name: str
    layout: Layout
    size: int  # K, the number of models whose values it holds; irrelevant for a shared one
    number: int  # in the order of emission


@final
@dataclass(frozen=True, slots=True)
class ValuePart:
    """The value of one model: a part of a LaidOutValue."""

    value: LaidOutValue
    index: int  # 0 in a shared one


def spread(x: Tensor, size: int, layout: Layout) -> Tensor:
    """Repeats a shared value, (N, ...), for `size` models; a view if stacked."""
    if layout == Layout.CHANNELS:
        return x.repeat(1, size, *[1] * (x.ndim - 2))
    if layout == Layout.STACKED:
        return x.unsqueeze(0).expand(size, *x.shape)
    return x.repeat(size, *[1] * (x.ndim - 1))


def stacked_from_channels(x: Tensor, size: int) -> Tensor:
    """Returns (N, K * C, ...) as (K, N, C, ...); a view."""
    return torch.unflatten(x, 1, (size, -1)).transpose(0, 1)


def channels_from_stacked(x: Tensor) -> Tensor:
    """Returns (K, N, C, ...) as (N, K * C, ...); a copy."""
    return x.transpose(0, 1).flatten(1, 2)


def parts(x: Tensor, sizes: Sequence[int], layout: Layout) -> Sequence[Tensor]:
    """Splits a tensor into parts with the values of `sizes` models each, in the same layout, as one
    node of the backward pass."""
    dim = 1 if layout == Layout.CHANNELS else 0
    width = x.shape[dim] // sum(sizes)
    found: Sequence[Tensor] = x.split([size * width for size in sizes], dim)  # type: ignore[no-untyped-call]
    return found


def joined(values: Sequence[Tensor], layout: Layout) -> Tensor:
    """Joins the values of models, (N, ...) each, into one tensor of a layout."""
    if layout == Layout.CHANNELS:
        return torch.cat([*values], 1)
    if layout == Layout.STACKED:
        return torch.stack([*values])
    return torch.cat([*values])
