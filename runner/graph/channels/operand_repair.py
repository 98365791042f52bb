"""Operand repair: finds by trial the operands of a call that must follow a change of size."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from runner.graph.ir.argument_sizes import (
    Change,
    Leaves,
    Numbers,
    Place,
    changes,
    kept_apart,
    leaves,
    put,
    resized,
    shapes,
)

StepFunction = Callable[[Any, Any], Any]  # repeats a call, with args and kwargs
Operands = Mapping[Place, Mapping[int, Change]]  # place of a tensor -> dimension -> change


@final
@dataclass(frozen=True)
class Repair:
    """The result of a call, and the replacements in its arguments that made it succeed."""

    result: Any
    operands: Operands = field(default_factory=dict)
    numbers: Numbers = field(default_factory=dict)


@final
@dataclass(frozen=True)
class PreviousCall:
    """The arguments and the result of a call before the change."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any

    @cached_property
    def leaves(self) -> Leaves:
        """The integers among the arguments, and the shapes of the tensors."""
        return shapes(leaves(self.args, self.kwargs))

    def fits(self, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> bool:
        """Returns whether another call did the same on other sizes."""
        given = ([*self.args], {**self.kwargs})
        return kept_apart((given, self.result), (([*args], {**kwargs}), result))


def repair_call(
    run: StepFunction,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    before: PreviousCall,
    also: Sequence[Change] = (),
) -> Repair:
    """Makes a call whose arguments differ from those `before`, with as few other changes as
    possible. `also` are changes of the callee. Raises the call's own error if nothing helps."""
    first: Exception | None = None
    result: Any = None
    try:
        result = run(args, kwargs)
        if before.fits(args, kwargs, result):
            return Repair(result)
    except Exception as error:
        first = error
    found = leaves(args, kwargs)
    for operands, numbers in _proposals(found, before.leaves, also):
        new: dict[Place, Any] = {**numbers}
        for place, dims in operands.items():
            new[place] = resized(found[place], {dim: change.new for dim, change in dims.items()})
        given = put(args, kwargs, new)
        try:
            other = run(*given)
        except Exception:
            continue
        if before.fits(*given, other):
            return Repair(other, operands, numbers)
    if first is None:
        return Repair(result)
    raise first


def _proposals(
    found: Leaves, before: Leaves, also: Sequence[Change]
) -> Iterator[tuple[Operands, Numbers]]:
    """Yields candidate repairs, smallest first: other operands, numbers, both."""
    now = shapes(found)
    changed = changes(before, now)
    tensors = [place for place in changed if isinstance(found[place], Tensor)]
    restored = {p: before[p] for p, change in changed.items() if isinstance(change, Change)}
    sizes = [*_sizes(changed, tensors), *((-1, change) for change in also)]
    if not tensors:
        yield from _numbers(restored)
    options = {place: _options(now[place], sizes) for place in found
               if isinstance(found[place], Tensor) and place not in changed}  # fmt: skip
    options = {place: some for place, some in options.items() if some}
    equal = {
        place: change.new
        for place, value in now.items()
        if type(value) is int and place not in changed
        for change in [change for _, change in sizes if change.old == value][:1]
    }
    for place, some in options.items():
        for option in some:
            yield {place: option}, {}
    together = {place: some[0] for place, some in options.items()}
    if len(together) > 1:
        yield together, {}
    yield from _numbers(equal)
    if tensors:
        yield from _numbers(restored)
    yield from _scaled(now, sizes, changed)
    if equal:
        for place, some in options.items():
            yield {place: some[0]}, equal
        if len(together) > 1:
            yield together, equal


def _numbers(numbers: Numbers) -> Iterator[tuple[Operands, Numbers]]:
    """Yields each of some numbers alone, then all of them."""
    for place, number in numbers.items():
        yield {}, {place: number}
    if len(numbers) > 1:
        yield {}, numbers


def _sizes(changed: Mapping[Place, Any], tensors: Sequence[Place]) -> Iterator[tuple[int, Change]]:
    """Yields the distinct changes, those of tensors first, each with its dimension."""
    seen = set()
    for place in [*tensors, *changed]:
        dims = changed[place] if place in tensors else {0: changed[place]}
        for dim, change in dims.items():
            if change not in seen and change.old > 0:
                seen.add(change)
                yield dim, change


def _options(
    shape: torch.Size, sizes: Sequence[tuple[int, Change]]
) -> Sequence[Mapping[int, Change]]:
    """Returns possible changes of a tensor: one dimension of the old size gets the new one."""
    found: list[Mapping[int, Change]] = []
    for at, change in sizes:
        dims = [dim for dim, size in enumerate(shape) if size == change.old]
        dims.sort(key=lambda dim: dim != at)
        found += [{dim: change} for dim in dims]
    return found


def _scaled(
    now: Leaves, sizes: Sequence[tuple[int, Change]], changed: Mapping[Place, Any]
) -> Iterator[tuple[Operands, Numbers]]:
    """Yields numbers scaled by the ratio of a size change, as for a reshape or split: each alone,
    the last one first, then all numbers of one list together."""
    for _, change in sizes:
        scaled = {
            place: new
            for place, value in now.items()
            if type(value) is int and value > 1 and place not in changed
            if (new := change.of(value)) is not None
        }
        for place in reversed(scaled):
            yield {}, {place: scaled[place]}
        lists = {place[:-1] for place in scaled if len(place) > 1}
        for inside in lists:
            yield {}, {p: n for p, n in scaled.items() if p[:-1] == inside}
