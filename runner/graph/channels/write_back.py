"""Writes the widths of a fit back into a graph."""

from collections.abc import Iterator, Mapping

from runner.errors import GraphError
from runner.graph.channels.fit import Fit
from runner.graph.channels.layers import new_arguments, numbers
from runner.graph.ir.argument import Argument
from runner.graph.ir.argument_sizes import Numbers, Place, leaves, put
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node, Value
from runner.graph.ir.unit import Unit
from runner.graph.transforms.reconstruct import reconstruct_unit
from runner.graph.transforms.resize_initializers import resized_weight


def apply(graph: Graph, fit: Fit) -> None:
    """Writes the new widths into layers, tensors and calls. Raises GraphError for a number that is
    not written in the code, and for a layer that cannot be converted."""
    for path, found in fit.layers.items():
        _resize_layer(graph, path, found)
    for source, size in fit.wanted.items():
        if source.kind == "tensor":
            (dim,) = source.place
            _resize_tensor(graph, graph.unit(source.path), source.name, int(dim), size)
    calls: dict[str, dict[tuple[str, int], Numbers]] = {}
    for (path, name, at), found in fit.numbers.items():
        calls.setdefault(path, {})[name, at] = found
    for path, written in calls.items():
        _write(graph, graph.unit(path), written)


def _resize_layer(graph: Graph, path: str, new: Numbers) -> None:
    """Changes the numbers in the constructor call of a layer."""
    unit = graph.unit(path)
    assert unit.call is not None
    known = numbers(unit.call)
    if any(known.get(place) != number for place, number in new.items()):
        reconstruct_unit(graph, path, new_arguments(unit.call, new))


def _resize_tensor(graph: Graph, unit: Unit, name: str, dim: int, size: int) -> None:
    """Resizes a dimension of a tensor of a unit."""
    held = unit.parameters if name in unit.parameters else unit.buffers
    weight = held[name]
    assert weight is not None
    held[name] = resized_weight(graph, weight, dim, size)
    unit.changed = unit.mutated = True


# Numbers in code


def _write(graph: Graph, unit: Unit, calls: Mapping[tuple[str, int], Numbers]) -> None:
    """Changes numbers in calls in the code of a unit. A number that is an attribute of the unit is
    changed there, unless the attribute has other uses."""
    functions = {name: _function(graph, unit, name) for name, _ in calls}
    new = {functions[name].nodes[at]: found for (name, at), found in calls.items()}
    shared = {f":{name}" for name in graph.functions}
    for attribute in [*unit.attributes] if functions.keys() - shared else []:
        size = _attribute(unit, attribute, new)
        if size is not None:
            unit.attributes[attribute] = size
            unit.changed = unit.mutated = True
            new = {node: _without(node, attribute, found) for node, found in new.items()}
    for function in functions.values():
        for node in function.nodes:
            if new.get(node):
                _write_numbers(unit, function, node, new[node])


def _function(graph: Graph, unit: Unit, name: str) -> Function:
    return graph.functions[name[1:]] if name.startswith(":") else unit.edit(name)


def _attribute(unit: Unit, name: str, new: Mapping[Node, Numbers]) -> int | None:
    """Returns the number that replaces an attribute in all calls that take it; None if they
    disagree, or if it has other uses."""
    wanted: set[int | None] = set()
    for function in unit.functions.values():
        for node in function.nodes:
            if node.op == "get_attr" and node.target == name:
                for user in node.users:
                    found = new.get(user, {})
                    places = [*_places(user, node.output)]
                    wanted |= {found.get(place) for place in places} or {None}
    return wanted.pop() if len(wanted) == 1 else None


def _places(node: Node, value: Value) -> Iterator[Place]:
    """Yields the places of a value among the arguments of a call."""
    keys: list[int | str] = [*range(len(node.args)), *node.kwargs]
    for key in keys:
        if _argument(node, key) is value:
            yield (key,)
        elif isinstance(items := _listed(node, key), list | tuple):
            yield from ((key, i) for i, item in enumerate(items) if item is value)


def _without(node: Node, attribute: str, found: Numbers) -> Numbers:
    """Returns the numbers of a call that do not come from an attribute."""
    own = {
        place
        for value in node.inputs
        if value.node is not None and value.node.op == "get_attr" and value.node.target == attribute
        for place in _places(node, value)
    }
    return {place: number for place, number in found.items() if place not in own}


def _write_numbers(unit: Unit, function: Function, node: Node, found: Numbers) -> None:
    """Replaces numbers in the arguments of a call, including lists created for it."""
    names = dict.fromkeys(place[0] for place in found)
    items = {name: _items(unit, node, name) for name in names}
    args = [items.get(i, argument) for i, argument in enumerate(node.args)]
    kwargs = {name: items.get(name, argument) for name, argument in node.kwargs.items()}
    before = node.inputs
    new_args, new_kwargs = put(args, kwargs, found)
    there = leaves(new_args, new_kwargs)
    if any(there.get(place) != number for place, number in found.items()):
        raise GraphError(f"{node} takes numbers that do not occur in the code.")
    node.args, node.kwargs = tuple(new_args), new_kwargs
    for value in before:
        if value.node is not None and value.node.op in ("list", "get_attr") and not value.users:
            function.erase_node(value.node)


def _argument(node: Node, key: int | str) -> Argument:
    return node.args[key] if isinstance(key, int) else node.kwargs[key]


def _listed(node: Node, key: int | str) -> Argument:
    """Returns an argument of a call, or its items if it is a list node."""
    argument = _argument(node, key)
    if isinstance(argument, Value) and argument.node is not None and argument.node.op == "list":
        return [*argument.node.args]
    return argument


def _items(unit: Unit, node: Node, key: int | str) -> Argument:
    """Returns the same as `_listed`, or the list or tuple that an attribute of the unit holds."""
    argument = _listed(node, key)
    if isinstance(argument, Value) and argument.node is not None:
        held = unit.attributes.get(argument.node.target)
        if argument.node.op == "get_attr" and isinstance(held, list | tuple):
            return held
    return argument
