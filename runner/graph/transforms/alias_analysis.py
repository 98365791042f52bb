"""Alias analysis: which values of a model may share memory, and which are modified in place.

Points are values of functions, and inputs and outputs of units that opaque code runs. An edge leads
from a point to one that may be the same tensor, a view of it, or a container of it. The analysis is
flow-insensitive (`call_graph` knows the order of execution); opaque code may do anything.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

from runner.graph.ir.argument import Argument
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.memory_effects import (
    facts_of,
    is_torch,
    joins_lists,
    may_be_list,
    own_writes,
    returned_of,
    unit_shares,
    works_in_place,
    written,
)
from runner.graph.ir.node import SPREAD, Block, Node, Value, values_in
from runner.graph.ir.unit import Unit
from runner.graph.transforms.call_graph import CallGraph, Owner, ProgramPoint
from runner.graph.transforms.call_sites import is_in_order

Point = tuple[Hashable, Hashable]  # (owner, value), (unit, "in"), (unit, "out"), (unit, ".name")


@final
@dataclass(frozen=True, eq=False)
class Write:
    """A place that modifies a tensor in place. `unit` is the module that does so, if it would not
    with `inplace=False`."""

    place: ProgramPoint
    unit: Unit | None = None


@final
class Aliases:
    """The points of a graph and their edges; outdated after any change of the graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.writes: dict[Point, list[Write]] = defaultdict(list)
        self.call_graph = CallGraph(graph.functions)
        self._derived: dict[Point, list[Point]] = defaultdict(list)
        self._derived_in_code: dict[Point, list[Point]] = defaultdict(list)
        self._sources: dict[Point, list[Point]] = defaultdict(list)
        self._unknown_calls: list[tuple[list[Point], list[Point]]] = []  # arguments, results
        for _, unit in graph.units():
            self._add(unit)
        for name, function in graph.functions.items():
            self._block(None, function.block, returned(None, name))
        if self.call_graph.passed:
            self._connect_passed()

    # Queries

    def derived(
        self,
        starts: Iterable[Point],
        *,
        without: Iterable[Point] = (),
        through_units: bool = True,
    ) -> dict[Point, None]:
        """Returns all points that may hold memory of one of `starts`, including these. Points
        reachable only through those in `without`, or with `through_units` false through units that
        work in place, are left out."""
        edges = self._derived if through_units else self._derived_in_code
        return _closed(starts, edges, set(without))

    def sharing(
        self, starts: Iterable[Point], *, without: Iterable[Point] = ()
    ) -> dict[Point, None]:
        """Returns all points that may share memory with one of `starts`: what these are derived
        from, and everything derived from that."""
        skipped = set(without)
        return _closed(_closed(starts, self._sources, skipped), self._derived, skipped)

    # Units

    def _add(self, unit: Unit) -> None:
        self.call_graph.add_children(unit)
        if unit.grade == "graph":
            for name, function in unit.functions.items():
                self._block(unit, function.block, returned(unit, name))
            if is_in_order(unit):
                self._in_order(unit)
            elif forward := unit.functions.get("forward"):
                for value in forward.inputs[:1]:
                    self._edge((unit, "in"), (unit, value))
                self._edge(returned(unit, "forward"), (unit, "out"))
        elif unit.grade == "basic":
            self._basic(unit, [(unit, "in")], [(unit, "out")], (unit, None))
        else:
            self._unread(unit)

    def _in_order(self, unit: Unit) -> None:
        last: Point = (unit, "in")
        for child in unit.children.values():
            if child is not None:
                self._edge(last, (child, "in"))
                last = (child, "out")
        self._edge(last, (unit, "out"))

    def _unread(self, unit: Unit) -> None:
        """Adds an opaque unit with children: it may pass anything to any child."""
        self.writes[unit, "in"].append(Write((unit, None)))
        self._edge((unit, "in"), (unit, "out"))
        for child in unit.children.values():
            if child is not None:
                self._edge((unit, "in"), (child, "in"))
                self._edge((child, "out"), (unit, "in"))

    def _basic(
        self, unit: Unit, given: list[Point], made: list[Point], place: ProgramPoint
    ) -> None:
        """Adds a call of an opaque unit."""
        for name in own_writes(unit):
            self.writes[unit, f".{name}"].append(Write(place))
        if works_in_place(unit):
            for point in given[:1]:
                self.writes[point].append(Write(place, unit))
                for output in made:
                    self._edge(point, output, in_code=False)
            return
        if not is_torch(unit):
            for point in given:
                self.writes[point].append(Write(place))
        if unit_shares(unit) != "never":
            self._edges(given, made)

    def _connect_passed(self) -> None:
        """Adds the calls of units that code passes on as values: unknown code may call them with
        anything that it is given, and return what they return."""
        unknown: Point = (None, "unknown code")
        for given, made in self._unknown_calls:
            self._edges(given, [unknown])
            self._edges([unknown], made)
        for unit in self.call_graph.passed:
            functions = unit.functions.items()
            inside = [(unit, value) for _, function in functions for value in function.inputs]
            self._edges([unknown], [(unit, "in"), *inside])
            results = [returned(unit, name) for name, _ in functions]
            self._edges([(unit, "out"), *results, *_tensors(unit)], [unknown])

    # Code

    def _block(self, owner: Owner, block: Block, result: Point) -> None:
        for node in block.nodes:
            if node.op == "output":
                self._edges(self._points(owner, node.args), [result])
            else:
                self._node(owner, node)

    def _node(self, owner: Owner, node: Node) -> None:
        given, made = self._points(owner, node.inputs), self._points(owner, node.outputs)
        match node.op:
            case "call_module" if owner is not None:
                self._call(owner, node, given, made)
            case "call_function" | "call_method":
                self._computed(owner, node, given, made)
            case "list" | "dict" | "unpack":
                self._edges(given, made)
            case "if" | "with":
                for block in node.blocks:
                    self._nested(owner, block, node.outputs)
            case "loop":
                self._loop(owner, node)
            case "get_attr" if owner is not None:
                self._edges(_attribute(owner, node.target), made)
                self._pass(owner.find(node.target), made)
            case "set_attr" if owner is not None:
                self._edges(given, _attribute(owner, node.target))
            case _:
                pass

    def _pass(self, unit: Unit | None, made: list[Point]) -> None:
        """Adds the use of a unit as a value, if it is one: with it go all units below."""
        for _, below in unit.walk() if unit is not None else ():
            self.call_graph.passed.add(below)
            self._edges(_tensors(below), made)

    def _nested(self, owner: Owner, block: Block, outputs: list[Value]) -> None:
        for inner in block.nodes[:-1]:
            self._node(owner, inner)
        for result, output in zip(block.results, outputs, strict=True):
            self._edges(self._points(owner, result), [(owner, output)])

    def _loop(self, owner: Owner, node: Node) -> None:
        (block,) = node.blocks
        for inner in block.nodes[:-1]:
            self._node(owner, inner)
        carried = zip(node.args[2:], block.results[1:], block.inputs[1:], node.outputs, strict=True)
        for first, later, inside, output in carried:
            points = self._points(owner, (first, later))
            self._edges(points, [(owner, inside), (owner, output)])

    def _call(self, owner: Unit, node: Node, given: list[Point], made: list[Point]) -> None:
        """Adds a call of a unit; nothing is known about parts of an opaque unit."""
        unit = owner.find(node.path)
        if unit is None:
            self._unknown((owner, node), given, made)
            return
        self.call_graph.add_call(unit, owner, node)
        function = unit.functions.get(node.method)
        if function is not None:
            self._into(unit, function, owner, node)
            self._edges([returned(unit, node.method)], made)
        elif node.method != "forward":
            self._unknown((owner, node), given, made)
        elif unit.grade == "basic":
            self._basic(unit, given, made, (owner, node))
        else:
            self._edges(given, [(unit, "in")])
            self._edges([(unit, "out")], made)

    def _into(self, unit: Owner, function: Function, owner: Owner, node: Node) -> None:
        """Adds edges from the arguments of a node to the parameters of the function it calls."""
        if any(name in node.kwargs for name in SPREAD):  # to any of them
            bound = dict.fromkeys(function.inputs, (node.args, {**node.kwargs}))
        else:
            bound = function.bound(node.args, node.kwargs)
        for value, given in bound.items():
            self._edges(self._points(owner, given), [(unit, value)])

    def _computed(self, owner: Owner, node: Node, given: list[Point], made: list[Point]) -> None:
        """Adds a call of a function or method."""
        if node.target[:1] == ":":
            function = self.graph.functions.get(node.target[1:])
            if function is not None:
                self._into(None, function, owner, node)
                self._edges([returned(None, function.name)], made)
                return
        facts = facts_of(node)
        if not facts.is_known:
            self._unknown((owner, node), given, made)
            return
        changed = self._points(owner, written(node))
        for point in changed:
            self.writes[point].append(Write((owner, node)))
        self._edges(self._points(owner, returned_of(node)), made)
        is_view = facts.shares == "always" and not changed
        if is_view or facts.shares == "maybe" or joins_lists(node):
            self._edges(given, made)
        if facts.fills or (node.target == "operator:setitem" and may_be_list(node.args[0])):
            self._edges(given[1:], given[:1])

    def _unknown(self, place: ProgramPoint, given: list[Point], made: list[Point]) -> None:
        for point in given:
            self.writes[point].append(Write(place))
        self._edges(given, made)
        self.call_graph.unknown[place] = None
        self._unknown_calls.append((given, made))

    # Edges

    def _points(self, owner: Owner, argument: Argument) -> list[Point]:
        return [(owner, value) for value in values_in(argument)]

    def _edges(self, sources: Iterable[Point], derived: Iterable[Point]) -> None:
        targets = [*derived]
        for source in sources:
            for target in targets:
                self._edge(source, target)

    def _edge(self, source: Point, derived: Point, *, in_code: bool = True) -> None:
        self._derived[source].append(derived)
        if in_code:
            self._derived_in_code[source].append(derived)
        self._sources[derived].append(source)


def returned(owner: Owner, name: str) -> Point:
    """Returns the point of the return value of a function."""
    return owner, f"{name}()"


def _attribute(owner: Unit, path: str) -> list[Point]:
    """Returns the point of an attribute below a unit."""
    above, _, name = path.rpartition(".")
    unit = owner.find(above)
    return [] if unit is None else [(unit, f".{name}")]


def _tensors(unit: Unit) -> list[Point]:
    """Returns the points of all that a unit itself holds."""
    return [(unit, f".{name}") for name in (*unit.weights, *unit.attributes)]


def _closed(
    starts: Iterable[Point], edges: Mapping[Point, list[Point]], without: set[Point]
) -> dict[Point, None]:
    """Returns the reachable points in the order of discovery."""
    found = dict.fromkeys(starts)
    waiting = [*found]
    while waiting:
        for point in edges.get(waiting.pop(), ()):
            if point not in found and point not in without:
                found[point] = None
                waiting.append(point)
    return found
