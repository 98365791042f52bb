"""Where a unit is called: the nodes that do it, in the code of the units above."""

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
    """A node that calls a unit, in a function of another one."""

    path: str  # of the unit that has the function
    owner: Unit
    function: Function
    node: Node

    @property
    def given(self) -> Argument:
        """What the unit is called with: the first argument. Raises GraphError for none."""
        arguments = (*self.node.args, *self.node.kwargs.values())
        if not arguments:
            raise GraphError(f"{self} calls it without an argument.")
        return arguments[0]

    def give(self, value: Value) -> None:
        """Call the unit with another first argument."""
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
    """All nodes that call a unit, in program order, to be read and changed; looking changes
    nothing. Raises GraphError where another method than its forward is called."""
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
    """The units on the way down a path, as far as it leads through units."""
    here: Unit | None = owner
    found = []
    for name in path.split(".") if path else ():
        here = here.children.get(name) if here is not None else None
        if here is None:
            break
        found.append(here)
    return found or [owner]


def parent_of(graph: Graph, path: str) -> tuple[Unit, str, str]:
    """The unit above a path, its path, and the name that the unit at the path has there."""
    above, _, name = path.rpartition(".")
    return graph.unit(above), above, name


def is_in_order(unit: Unit) -> bool:
    """Whether a unit has no code but that of nn.Sequential: its children, one after another."""
    return unit.grade == "graph" and not unit.functions and runs_in_order(unit.cls)


def has_code(graph: Graph, path: str) -> bool:
    """Whether all code that calls the children of the unit at a path can be seen and changed."""
    units = [*graph.above(path), graph.unit(path)]
    return all(unit.grade == "graph" and not unit.inherits for unit in units)


def is_used(graph: Graph, unit: Unit) -> bool:
    """Whether code anywhere calls a unit, or one below it, or reads anything there."""
    return any(
        unit in _reached(owner, node.path)
        for _, owner, function in graph.methods()
        for node in function.nodes
        if node.op in ("call_module", "get_attr")
    )


def reads(graph: Graph, unit: Unit) -> list[str]:
    """What code reads of a unit, or calls inside of it: paths as the code has them."""
    return [
        node.path
        for _, owner, function in graph.methods()
        for node in function.nodes
        if owner is not unit and node.op in ("call_module", "get_attr")
        if unit in (way := _reached(owner, node.path))
        if node.op == "get_attr" or way[-1] is not unit
    ]


def write_out(unit: Unit) -> None:
    """Give a unit that runs its children in order a forward of its own, which does the same and
    can be changed."""
    forward = Function("forward", [Parameter("input", annotation="torch.Tensor")])
    value = forward.inputs[0]
    for name, child in unit.children.items():
        if child is not None:
            value = forward.call_module(name, value)
            value.name = "input"
    forward.result = value
    unit.define(forward)


def runs_its_children(graph: Graph, path: str) -> bool:
    """Whether the unit at a path runs its children in order, and anything calls it; it may be that
    code above calls them one by one."""
    unit = graph.unit(path)
    if not is_in_order(unit) or not path:
        return is_in_order(unit)
    parent, above, _ = parent_of(graph, path)
    is_hidden = is_in_order(parent) or not has_code(graph, above)
    return is_hidden or bool(sites(graph, unit))


def opened_sites(graph: Graph, path: str) -> list[Site]:
    """The sites of the unit at a path; where it is one of several that run in order, those are
    written out for it. Raises GraphError when nothing can be seen that calls it."""
    parent, above, _ = parent_of(graph, path)
    if runs_its_children(graph, above):
        write_out(parent)
    found = sites(graph, graph.unit(path))
    if not found:
        raise GraphError(
            f"What calls {path} ({graph.unit(path).name}) cannot be changed: {above or 'the model'}"
            f" is a {parent.name} of grade {parent.grade}, and no code above calls it."
        )
    return found


def paired(ones: Sequence[Site], others: Sequence[Site], start: str, end: str) -> list[Pair]:
    """The calls of two units, those in one block together. Raises GraphError unless each call of
    the one stands in a block with, and before, a call of the other."""
    pairs = []
    for one in ones:
        nodes = one.node.block.nodes
        ends = [other for other in others if other.node.block is one.node.block]
        if len(ends) != 1 or nodes.index(one.node) > nodes.index(ends[0].node):
            raise GraphError(
                f"{start} is called in {one}; behind that, {end} must be called once, in the same "
                f"function or Sequential, and in the same branch. It is called in "
                f"{', '.join(map(str, others)) or 'no code that can be changed'}."
            )
        pairs.append((one, ends[0]))
    if len(pairs) != len(others):
        raise GraphError(f"{end} is called at {len(others)} places, {start} at {len(pairs)}.")
    return pairs


def behind(node: Node) -> Iterator[Node]:
    """All nodes of its function that come later, in program order, those in its block first."""
    block = node.block
    yield from (inner for later in block.nodes[block.nodes.index(node) + 1 :]
                for inner in later.walk())  # fmt: skip
    if isinstance(block.owner, Node):
        yield from behind(block.owner)
