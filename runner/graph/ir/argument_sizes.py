"""Locates numbers and tensors in the arguments of a call, replaces them, and compares sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import torch
from torch import Tensor

from runner import nested
from runner.nn.recording.tensor_history import tensors_in

Place = tuple[int | str, ...]  # position or name of an argument, then places inside
Numbers = Mapping[Place, int]
Leaves = Mapping[Place, Any]  # numbers, and tensors or their shapes, of a call


@final
@dataclass(frozen=True)
class Change:
    """A change of a size."""

    old: int
    new: int

    @property
    def ratio(self) -> Fraction:
        return Fraction(self.new, self.old)

    def of(self, size: int) -> int | None:
        """Returns another size, scaled alike; None if that is not a positive integer."""
        scaled = size * self.ratio
        return int(scaled) if scaled.denominator == 1 and scaled > 0 else None


def leaves(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[Place, Any]:
    """Returns all integers and tensors among arguments by place, nested containers included."""
    found = nested.places({**dict(enumerate(args)), **kwargs})
    return {p: leaf for p, leaf in found if isinstance(leaf, Tensor) or type(leaf) is int}


def shapes(found: Leaves) -> dict[Place, Any]:
    """Returns the same with shapes instead of tensors."""
    return {p: v.shape if isinstance(v, Tensor) else v for p, v in found.items()}


def put(
    args: Sequence[Any], kwargs: Mapping[str, Any], new: Mapping[Place, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Returns the arguments with other leaves at some places."""
    given = nested.replace_at({**dict(enumerate(args)), **kwargs}, new)
    return [given[i] for i in range(len(args))], {name: given[name] for name in kwargs}


def resized(tensor: Tensor, sizes: Mapping[int, int]) -> Tensor:
    """Returns a meta tensor with other sizes in some dimensions."""
    shape = [sizes.get(dim, size) for dim, size in enumerate(tensor.shape)]
    return torch.empty(shape, dtype=tensor.dtype, device="meta")


def changes(before: Leaves, now: Leaves) -> dict[Place, Any]:
    """Returns the differences between the shapes and numbers of two calls by place: {dimension:
    Change} for a tensor, a Change for a number. Tensors whose numbers of dimensions differ are left
    out."""
    found: dict[Place, Any] = {}
    for place, new in now.items():
        old = before.get(place)
        if isinstance(new, torch.Size) and isinstance(old, torch.Size) and len(old) == len(new):
            dims = {
                i: Change(a, b) for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b
            }
            if dims:
                found[place] = dims
        elif type(old) is int and type(new) is int and old != new:
            found[place] = Change(old, new)
    return found


def kept_apart(before: tuple[Any, Any], now: tuple[Any, Any]) -> bool:
    """Returns whether the result of a call is consistent with its arguments, given (arguments,
    result) before and after a change of sizes: it contains as many tensors as before, and if the
    call is a mere reshape of one tensor, only dimensions that derive from changed dimensions have
    changed."""
    (given, result), (given_now, result_now) = before, now
    made, made_now = [*tensors_in(result)], [*tensors_in(result_now)]
    if len(made) != len(made_now):
        return False
    took, took_now = [*tensors_in(given)], [*tensors_in(given_now)]
    if not len(took) == len(took_now) == len(made) == 1 or took[0].numel() != made[0].numel():
        return True
    if took[0].dim() != took_now[0].dim() or made[0].dim() != made_now[0].dim():
        return True
    blocks, blocks_made = _blocks(took[0].shape, made[0].shape)
    changed = {
        b for b, x, y in zip(blocks, took[0].shape, took_now[0].shape, strict=True) if x != y
    }
    pairs = zip(blocks_made, made[0].shape, made_now[0].shape, strict=True)
    return all(block in changed for block, x, y in pairs if x != y)


def _blocks(one: Sequence[int], other: Sequence[int]) -> tuple[list[int], list[int]]:
    """Splits two shapes with equal numbers of elements into matching groups of dimensions; returns
    the group number of each dimension of both."""
    found: tuple[list[int], list[int]] = [], []
    rest = [*one], [*other]
    block = 0
    while rest[0] or rest[1]:
        sizes = [1, 1]
        while rest[0] or rest[1]:
            side = 0 if rest[0] and (sizes[0] <= sizes[1] or not rest[1]) else 1
            if not rest[side]:
                side = 1 - side
            sizes[side] *= rest[side].pop(0)
            found[side].append(block)
            if sizes[0] == sizes[1]:
                break
        block += 1
    return found
