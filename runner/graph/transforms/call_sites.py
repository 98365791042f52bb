"""Call sites of units: the nodes that call a unit, in the code of its ancestors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from runner.errors import GraphError
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Argument, Node, Parameter, Value
from runner.graph.ir.signature import runs_in_order
from runner.graph.ir.unit import Unit


@final
@dataclass(frozen=True, eq=False)
class Site:
    """A node that calls a unit, in a function of another unit."""

    path: str  # of the owner
    owner: Unit
    function: Function
    node: Node

    @property
    def given(self) -> Argument:
        """The first argument of the call. Raises GraphError if there is none."""
        arguments = (*self.node.args, *self.node.kwargs.values())
        if not arguments:
            raise GraphError(f"{self} calls it without an argument.")
        return arguments[0]

    def give(self, value: Value) -> None:
        """Replaces the first argument of the call."""
        if self.node.args:
            self.node.args = (value, *self.node.args[1:])
        else:
            first = next(iter(self.node.kwargs))
            self.node.kwargs = {**self.node.kwargs, first: value}

    def __str__(self) -> str:
        line = f", {self.node.line}" if self.node.line else ""
        return f"{self.path or 'the model'} ({self.function.name}{line})"


Pair = tuple[Site, Site]


def sites(graph: Graph, unit: Unit) -> list[Site]:
    """Returns all nodes that call a unit, in program order. They may be changed; inspecting them
    does not count as a change. Raises GraphError if a method other than forward is called."""
    names = {name for _, above in graph.units() for name, child in above.children.items()
             if child is unit}  # fmt: skip
    found = []
    for path, owner, function in graph.methods():
        places = [i for i, node in enumerate(function.nodes) if _calls(owner, node, unit, names)]
        own = owner.edit(function.name) if places else function
        nodes = own.nodes
        found += [Site(path, owner, own, nodes[place]) for place in places]
    for site in found:
        if site.node.method != "forward":
            raise GraphError(f"{site} calls its method {site.node.method!r}, not its forward.")
    return found


def _calls(owner: Unit, node: Node, unit: Unit, names: set[str]) -> bool:
    if node.op != "call_module" or node.path.rpartition(".")[2] not in names:
        return False
    return _reached(owner, node.path)[-1] is unit


def _reached(owner: Unit, path: str) -> list[Unit]:
    """Returns the units along a path, as far as it leads through units."""
    here: Unit | None = owner
    found = []
    for name in path.split(".") if path else ():
        here = here.children.get(name) if here is not None else None
        if here is None:
            break
        found.append(here)
    return found or [owner]


def parent_of(graph: Graph, path: str) -> tuple[Unit, str, str]:
    """Returns the parent of the unit at a path, the path of the parent, and the name of the unit
    there."""
    above, _, name = path.rpartition(".")
    return graph.unit(above), above, name


def is_in_order(unit: Unit) -> bool:
    """Returns whether a unit has no code except that of nn.Sequential, which runs its children in
    order."""
    return unit.grade == "graph" and not unit.functions and runs_in_order(unit.cls)


def has_code(graph: Graph, path: str) -> bool:
    """Returns whether all code that calls the children of the unit at a path is visible."""
    units = [*graph.above(path), graph.unit(path)]
    return all(unit.grade == "graph" and not unit.inherits for unit in units)


def is_used(graph: Graph, unit: Unit) -> bool:
    """Returns whether any code calls a unit or a unit below it, or reads an attribute there."""
    return any(
        unit in _reached(owner, node.path)
        for _, owner, function in graph.methods()
        for node in function.nodes
        if node.op in ("call_module", "get_attr")
    )


def reads(graph: Graph, unit: Unit) -> list[str]:
    """Returns the paths, as written in the code, at which code reads a unit or calls a unit inside
    it."""
    return [
        node.path
        for _, owner, function in graph.methods()
        for node in function.nodes
        if owner is not unit and node.op in ("call_module", "get_attr")
        if unit in (way := _reached(owner, node.path))
        if node.op == "get_attr" or way[-1] is not unit
    ]


def values(graph: Graph, unit: Unit) -> list[str]:
    """Returns the functions that pass a unit on as a value, so that other code may call it."""
    return [
        f"{path or 'the model'} ({function.name})"
        for path, owner, function in graph.methods()
        for node in function.nodes
        if node.op == "get_attr" and node.path and owner.find(node.path) is unit
    ]


def write_forward(unit: Unit) -> None:
    """Adds an explicit forward to a unit that runs its children in order."""
    forward = Function("forward", [Parameter("input", annotation="torch.Tensor")])
    value = forward.inputs[0]
    for name, child in unit.children.items():
        if child is not None:
            value = forward.call_module(name, value)
            value.name = "input"
    forward.result = value
    unit.define(forward)


def runs_its_children(graph: Graph, path: str) -> bool:
    """Returns whether the unit at a path runs its children in order when it is called. Code above
    may call them one by one instead."""
    unit = graph.unit(path)
    if not is_in_order(unit) or not path:
        return is_in_order(unit)
    parent, above, _ = parent_of(graph, path)
    is_hidden = is_in_order(parent) or not has_code(graph, above)
    return is_hidden or bool(sites(graph, unit)) or bool(values(graph, unit))


def explicit_sites(graph: Graph, path: str) -> list[Site]:
    """Returns the call sites of the unit at a path; a Sequential that runs it gets an explicit
    forward. Raises GraphError if no visible code calls it."""
    parent, above, _ = parent_of(graph, path)
    if runs_its_children(graph, above):
        write_forward(parent)
    found = sites(graph, graph.unit(path))
    passed = values(graph, graph.unit(path))
    if passed:
        raise GraphError(
            f"The calls of {path} ({graph.unit(path).name}) cannot be changed: "
            f"{passed[0]} passes it on as a value."
        )
    if not found:
        raise GraphError(
            f"The call of {path} ({graph.unit(path).name}) cannot be changed: "
            f"{above or 'the model'} is a {parent.name} of grade {parent.grade}, and no code above "
            "calls it."
        )
    return found


def paired(ones: Sequence[Site], others: Sequence[Site], start: str, end: str) -> list[Pair]:
    """Pairs the calls of two units by block. Raises GraphError unless each call of the first is
    followed by exactly one call of the second in the same block."""
    pairs = []
    for one in ones:
        nodes = one.node.block.nodes
        ends = [other for other in others if other.node.block is one.node.block]
        if len(ends) != 1 or nodes.index(one.node) > nodes.index(ends[0].node):
            raise GraphError(
                f"{start} is called in {one}; after that, {end} must be called once, in the same "
                f"function or Sequential, and in the same branch. It is called in "
                f"{', '.join(map(str, others)) or 'no editable code'}."
            )
        pairs.append((one, ends[0]))
    if len(pairs) != len(others):
        raise GraphError(f"{end} is called {len(others)} times, and {start} {len(pairs)} times.")
    return pairs


def later_nodes(node: Node) -> Iterator[Node]:
    """Yields all later nodes of the function in program order, those of the same block first."""
    block = node.block
    yield from (inner for later in block.nodes[block.nodes.index(node) + 1 :]
                for inner in later.walk())  # fmt: skip
    if isinstance(block.owner, Node):
        yield from later_nodes(block.owner)
