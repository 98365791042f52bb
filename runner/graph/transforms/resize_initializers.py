"""Initial values of tensors whose size changes."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from runner.graph.interpreter.modules import Builder, meta_builder
from runner.graph.ir.argument import Argument, Call, Stored, leaves_and_calls, rebuild_argument
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Start, Weight


def resized_weight(graph: Graph, weight: Weight, dim: int, size: int) -> Weight:
    """Returns a parameter or buffer with another size in a dimension, and an initial value of that
    size: the expression with the size replaced if possible, otherwise cropped or repeated."""
    shape = tuple(size if i == dim else old for i, old in enumerate(weight.shape))
    if weight.start is None:
        return replace(weight, shape=shape)
    for start in _with_size(weight.start, weight.shape[dim], size):
        if _shape(graph, start) == shape:
            return replace(weight, shape=shape, start=start)
    return replace(weight, shape=shape, start=_cut(weight.start, weight.shape, shape))


def fit_starts(graph: Graph) -> None:
    """Adapts the values that initialize tensors of mutated units to their current size by cropping
    or repeating. Calls that no longer apply are dropped."""
    builder = meta_builder(graph)
    for _, owner in graph.units():
        if any(_is_sized(start) for start in owner.starts):
            starts = (_fitted(s, builder) if _is_sized(s) else s for s in owner.starts)
            owner.starts = [start for start in starts if start is not None]


def _is_sized(start: Start) -> bool:
    """Returns whether a start may depend on the size of its tensor, and that may have changed."""
    if not start.unit.mutated:
        return False
    return bool(start.part) or any(isinstance(a, Call | Stored) for a in start.args)


@torch.no_grad()
def _fitted(start: Start, builder: Builder) -> Start | None:
    """Returns a start adapted to the size of its tensor; None if that is impossible."""
    with torch.device("meta"):
        module = builder.module(start.unit, "")
    tensor: Any = module
    for name in start.name.split("."):
        tensor = getattr(tensor, name, None)
    if not isinstance(tensor, Tensor):
        return start

    def fit(argument: Argument) -> Argument:
        shape = _shape(builder.graph, argument)
        if start.part or shape is None or len(shape) != tensor.dim() or shape == tensor.shape:
            return argument
        new = tuple(tensor.shape)
        return (_about_centre if "Conv" in start.unit.name else _cut)(argument, shape, new)

    start = replace(start, args=tuple(map(fit, start.args)))
    try:
        with torch.device("meta"):
            builder.fill(start, module)
    except Exception:
        return None
    return start


def _cut(value: Argument, old: Sequence[int], new: Sequence[int]) -> Call:
    """Returns an expression cropped to a shape, after repetition if that is larger."""
    times = tuple(-(-b // a) for a, b in zip(old, new, strict=True))
    if any(time > 1 for time in times):
        value = Call(".repeat", (value, *times))
    cut = tuple(slice(None) if a == b else slice(None, b) for a, b in zip(old, new, strict=True))
    while cut[-1] == slice(None):
        cut = cut[:-1]
    return Call("operator:getitem", (value, cut))


def _about_centre(value: Argument, old: Sequence[int], new: Sequence[int]) -> Argument:
    """Returns the weight of a convolution with another shape; kernels are cropped or zero-padded on
    all sides."""
    pads: list[int] = []
    for a, b in [*zip(old, new, strict=True)][:1:-1]:
        pads += [(b - a) // 2, b - a - (b - a) // 2]
    if any(pads):
        value = Call("torch.nn.functional:pad", (value, tuple(pads)))
    between = (*old[:2], *new[2:])
    return value if tuple(new) == between else _cut(value, between, new)


def _with_size(start: Argument, old: int, new: int) -> list[Argument]:
    """Returns the variants of an expression with a size replaced: at each place alone, and at
    all."""

    def is_old(leaf: Argument) -> bool:
        return type(leaf) is int and leaf == old

    def changed(places: Collection[int]) -> Argument:
        number = count()
        return rebuild_argument(
            start, lambda leaf: new if is_old(leaf) and next(number) in places else leaf
        )

    places = range(sum(map(is_old, leaves_and_calls(start))))
    return [changed(some) for some in (*([place] for place in places), places) if some]


def _shape(graph: Graph, value: Argument) -> tuple[int, ...] | None:
    """Returns the shape of the value of an expression; None if that is no tensor."""
    if not isinstance(value, Call | Stored):
        return None
    try:
        with torch.device("meta"):
            made = meta_builder(graph).constant(value)
    except Exception:
        return None
    return tuple(made.shape) if isinstance(made, Tensor) else None
