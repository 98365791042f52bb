"""Writes the widths that were found to fit into a graph."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.argument import Argument, Call, Value
from runner.graph.graph import Graph
from runner.graph.node import Function, Node
from runner.graph.reading.convert import convert
from runner.graph.running.live import Builder, Live
from runner.graph.unit import Unit
from runner.graph.widths.fitting import Fit
from runner.graph.widths.layers import numbers, with_numbers
from runner.graph.widths.places import Numbers, Place, leaves, put
from runner.nn.record import recording

KEPT = 256  # so many layers that were made anew are remembered
_made: OrderedDict[str, Graph] = OrderedDict()


def apply(graph: Graph, fit: Fit) -> None:
    """Give all that was found to fit the widths it is to have. Raises GraphError for a number that
    stands where it cannot be written, and for a layer that cannot be read."""
    for path, found in fit.layers.items():
        _resize_layer(graph, graph.unit(path), found)
    for source, size in fit.wanted.items():
        if source.kind == "tensor":
            (dim,) = source.place
            _resize_tensor(graph, graph.unit(source.path), source.name, int(dim), size)
    for (path, name, at), found in fit.numbers.items():
        _write_numbers(_function(graph, path, name), at, found)


# Layers


def _resize_layer(graph: Graph, unit: Unit, new: Numbers) -> None:
    """Give the constructor of a layer other numbers."""
    assert unit.call is not None
    known = numbers(unit.call)
    if all(known.get(place) == number for place, number in new.items()):
        return
    call = with_numbers(unit.call, new)
    if unit.grade == "basic":
        unit.make_by(call)
        return
    made = _converted(unit, call)
    unit.become(made.root)
    for _, above in graph.units():
        if unit in above.children.values():
            above.changed = True


def _converted(unit: Unit, call: Call) -> Graph:
    """The graph of a layer that is made by a call; a copy, to be put into another graph."""
    key = f"{call!r}"
    if key not in _made:
        builder = Builder(Graph(unit), _never, torch.device("cpu"))
        with torch.random.fork_rng([]), recording():
            module: nn.Module = builder.constant(call)
        made = convert(module)
        if made.functions or made.tensors:
            raise GraphError(f"{unit.name} has functions of its own, and cannot be made anew.")
        _made[key] = made
        if len(_made) > KEPT:
            _made.popitem(last=False)
    return _made[key].copy()


def _never(module: Live, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    raise AssertionError("this is made, and not run")


# Tensors that units hold


def _resize_tensor(graph: Graph, unit: Unit, name: str, dim: int, size: int) -> None:
    """Give a tensor of a unit another size in a dimension, and a first value of that size."""
    held = unit.parameters if name in unit.parameters else unit.buffers
    weight = held[name]
    assert weight is not None
    shape = tuple(size if i == dim else old for i, old in enumerate(weight.shape))
    start = weight.start
    if start is not None:
        start = _start(graph, start, weight.shape[dim], dim, shape)
    held[name] = replace(weight, shape=shape, start=start)
    unit.changed = unit.mutated = True


def _start(graph: Graph, start: Argument, old: int, dim: int, shape: tuple[Any, ...]) -> Argument:
    """The expression of a first value, for another size: made with that size where it says it, or
    else cut, or repeated, to it."""
    size = shape[dim]
    for changed in _with_size(start, old, size):
        if _shape(graph, changed) == shape:
            return changed
    if size < old:
        cut = (*[slice(None)] * dim, slice(None, size))
        return Call("operator:getitem", (start, cut))
    times = tuple(-(-size // old) if i == dim else 1 for i in range(len(shape)))
    cut = (*[slice(None)] * dim, slice(None, size))
    return Call("operator:getitem", (Call(".repeat", (start, *times)), cut))


def _with_size(start: Argument, old: int, new: int) -> list[Argument]:
    """An expression with a size in it changed: at each place alone, and at all."""
    if not isinstance(start, Call):
        return []
    places = [place for place, value in _numbers(start).items() if value == old]
    some = [[place] for place in places] + ([places] if len(places) > 1 else [])
    return [_put(start, dict.fromkeys(at, new)) for at in some]


def _numbers(call: Call) -> dict[Place, int]:
    """All whole numbers in a call, and in calls inside of it."""
    found: dict[Place, int] = dict(leaves(call.args, call.kwargs))
    for i, item in enumerate(call.args):
        if isinstance(item, Call):
            found |= {(i, *place): value for place, value in _numbers(item).items()}
    return found


def _put(call: Call, new: Mapping[Place, int]) -> Call:
    args, kwargs = put(call.args, call.kwargs, new)
    for i, item in enumerate(args):
        if isinstance(item, Call):
            args[i] = _put(item, {place[1:]: v for place, v in new.items() if place[0] == i})
    return Call(call.target, tuple(args), kwargs)


def _shape(graph: Graph, start: Argument) -> tuple[int, ...] | None:
    """The shape of what an expression gives; None where it gives nothing."""
    try:
        with torch.device("meta"):
            made = Builder(graph, _never, torch.device("meta")).constant(start)
    except Exception:
        return None
    return tuple(made.shape) if isinstance(made, torch.Tensor) else None


# Numbers in code


def _function(graph: Graph, path: str, name: str) -> Function:
    if name.startswith(":"):
        return graph.functions[name[1:]]
    return graph.unit(path).edit(name)


def _write_numbers(function: Function, at: int, found: Numbers) -> None:
    """Put numbers among the arguments of a call; into a list that was made for it, too."""
    node = function.nodes[at]
    names = dict.fromkeys(place[0] for place in found)
    lists = {name: _listed(node, name) for name in names}
    args = [lists.get(i, argument) for i, argument in enumerate(node.args)]
    kwargs = {name: lists.get(name, argument) for name, argument in node.kwargs.items()}
    before = node.inputs
    new_args, new_kwargs = put(args, kwargs, found)
    if leaves(new_args, new_kwargs).items() < found.items():
        raise GraphError(f"{node} is given numbers that stand nowhere in the code.")
    node.args, node.kwargs = tuple(new_args), new_kwargs
    for value in before:
        if value.node is not None and value.node.op == "list" and not value.node.users:
            function.erase_node(value.node)


def _listed(node: Node, name: int | str) -> Argument:
    """An argument of a call; the items of one that is a list made just for it."""
    argument = node.args[name] if isinstance(name, int) else node.kwargs[name]
    if isinstance(argument, Value) and argument.node is not None and argument.node.op == "list":
        return [*argument.node.args]
    return argument
