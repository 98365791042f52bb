"""Writes the widths that were found to fit into a graph."""

from collections.abc import Iterator, Mapping

from runner.errors import GraphError
from runner.graph.channels.layers import new_arguments, numbers
from runner.graph.channels.resizing_interpreter import Fit
from runner.graph.ir.argument import Argument
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.nested import Numbers, Place, leaves, put
from runner.graph.ir.node import Node, Value
from runner.graph.ir.unit import Unit
from runner.graph.transforms.reconstruct import reconstruct_unit
from runner.graph.transforms.resize_initializers import resized_weight


def apply(graph: Graph, fit: Fit) -> None:
    """Give all that was found to fit the widths it is to have. Raises GraphError for a number that
    stands where it cannot be written, and for a layer that cannot be read."""
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
    """Give the constructor of a layer other numbers."""
    unit = graph.unit(path)
    assert unit.call is not None
    known = numbers(unit.call)
    if any(known.get(place) != number for place, number in new.items()):
        reconstruct_unit(graph, path, new_arguments(unit.call, new))


def _resize_tensor(graph: Graph, unit: Unit, name: str, dim: int, size: int) -> None:
    """Give a tensor of a unit another size in a dimension."""
    held = unit.parameters if name in unit.parameters else unit.buffers
    weight = held[name]
    assert weight is not None
    held[name] = resized_weight(graph, weight, dim, size)
    unit.changed = unit.mutated = True


# Numbers in code


def _write(graph: Graph, unit: Unit, calls: Mapping[tuple[str, int], Numbers]) -> None:
    """Have calls in the code of a unit be given other numbers. A number that is an attribute of
    the unit is changed there, if nothing else is done with it."""
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
    """The number that all calls which are given an attribute are to be given in its place; None
    where they do not agree, or it is used otherwise."""
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
    """Where a value stands among the arguments of a call."""
    keys: list[int | str] = [*range(len(node.args)), *node.kwargs]
    for key in keys:
        if _argument(node, key) is value:
            yield (key,)
        elif isinstance(items := _listed(node, key), list | tuple):
            yield from ((key, i) for i, item in enumerate(items) if item is value)


def _without(node: Node, attribute: str, found: Numbers) -> Numbers:
    """The numbers of a call that are not an attribute's."""
    own = {
        place
        for value in node.inputs
        if value.node is not None and value.node.op == "get_attr" and value.node.target == attribute
        for place in _places(node, value)
    }
    return {place: number for place, number in found.items() if place not in own}


def _write_numbers(unit: Unit, function: Function, node: Node, found: Numbers) -> None:
    """Put numbers among the arguments of a call; into a list that was made for it, too."""
    names = dict.fromkeys(place[0] for place in found)
    items = {name: _items(unit, node, name) for name in names}
    args = [items.get(i, argument) for i, argument in enumerate(node.args)]
    kwargs = {name: items.get(name, argument) for name, argument in node.kwargs.items()}
    before = node.inputs
    new_args, new_kwargs = put(args, kwargs, found)
    there = leaves(new_args, new_kwargs)
    if any(there.get(place) != number for place, number in found.items()):
        raise GraphError(f"{node} is given numbers that stand nowhere in the code.")
    node.args, node.kwargs = tuple(new_args), new_kwargs
    for value in before:
        if value.node is not None and value.node.op in ("list", "get_attr") and not value.users:
            function.erase_node(value.node)


def _argument(node: Node, key: int | str) -> Argument:
    return node.args[key] if isinstance(key, int) else node.kwargs[key]


def _listed(node: Node, key: int | str) -> Argument:
    """An argument of a call; the items of one that is a list made for it."""
    argument = _argument(node, key)
    if isinstance(argument, Value) and argument.node is not None and argument.node.op == "list":
        return [*argument.node.args]
    return argument


def _items(unit: Unit, node: Node, key: int | str) -> Argument:
    """The same; what an attribute of the unit holds, too."""
    argument = _listed(node, key)
    if isinstance(argument, Value) and argument.node is not None:
        held = unit.attributes.get(argument.node.target)
        if argument.node.op == "get_attr" and isinstance(held, list | tuple):
            return held
    return argument
