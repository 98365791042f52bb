"""Layout: where the values of several models lie in one tensor.

shared      one value that all of them have: (N, ...)
channels    side by side along the second dimension: (N, K * C, ...)
stacked     along a dimension of their own: (K, N, ...)
folded      along the first dimension: (K * N, ...)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import final

import torch
from torch import Tensor


class Layout(StrEnum):
    """See the top of this file."""

    SHARED = "shared"
    CHANNELS = "channels"
    STACKED = "stacked"
    FOLDED = "folded"


@final
@dataclass(frozen=True, slots=True, eq=False)
class LaidOutValue:
    """A tensor of the fused source: its name there, and what it holds."""

    name: str
    layout: Layout
    size: int  # K, the number of models whose values it holds; those of a shared one do not count
    number: int  # of the values that were written


@final
@dataclass(frozen=True, slots=True)
class ValuePart:
    """The value of one model: a part of a Value."""

    value: LaidOutValue
    index: int  # 0 in a shared one


def spread(x: Tensor, size: int, layout: Layout) -> Tensor:
    """A shared value, (N, ...), once for each of `size` models."""
    if layout == Layout.CHANNELS:
        return x.repeat(1, size, *[1] * (x.ndim - 2))
    if layout == Layout.STACKED:
        return x.unsqueeze(0).expand(size, *x.shape)
    return x.repeat(size, *[1] * (x.ndim - 1))


def stacked_from_channels(x: Tensor, size: int) -> Tensor:
    """(N, K * C, ...) as (K, N, C, ...); a view."""
    return torch.unflatten(x, 1, (size, -1)).transpose(0, 1)


def channels_from_stacked(x: Tensor) -> Tensor:
    """(K, N, C, ...) as (N, K * C, ...); copies."""
    return x.transpose(0, 1).flatten(1, 2)


def parts(x: Tensor, sizes: Sequence[int], layout: Layout) -> Sequence[Tensor]:
    """A tensor cut into parts with the values of so many models, in the same layout; one node in
    the backward pass."""
    dim = 1 if layout == Layout.CHANNELS else 0
    width = x.shape[dim] // sum(sizes)
    found: Sequence[Tensor] = x.split([size * width for size in sizes], dim)  # type: ignore[no-untyped-call]
    return found


def joined(values: Sequence[Tensor], layout: Layout) -> Tensor:
    """Values of models, (N, ...) each, in one tensor."""
    if layout == Layout.CHANNELS:
        return torch.cat([*values], 1)
    if layout == Layout.STACKED:
        return torch.stack([*values])
    return torch.cat([*values])
