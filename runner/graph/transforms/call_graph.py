"""The call graph: callers and parents of units, and what may be executed after what."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, final

from runner.graph.ir.function import Function
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Unit
from runner.graph.transforms.call_sites import is_in_order, later_nodes

Owner = Unit | None  # the unit of a function; None for free functions
ProgramPoint = tuple[Owner, Node | None]  # a node of a unit's code, or an opaque run of a unit


@final
class CallGraph:
    """The calls of units in code, as (caller, function, node), and the parents of each unit."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self.functions = functions
        self.calls: dict[Unit, list[tuple[Unit, Function, Node]]] = defaultdict(list)
        self.parents: dict[Unit, list[Unit]] = defaultdict(list)
        self.passed: set[Unit] = set()  # units that code passes on as values, which may be called
        self.unknown: dict[ProgramPoint, None] = {}  # by these calls, of unknown code

    def add_children(self, unit: Unit) -> None:
        """Records a unit as the parent of its children."""
        for child in unit.children.values():
            if child is not None:
                self.parents[child].append(unit)

    def add_call(self, unit: Unit, owner: Unit, node: Node) -> None:
        """Records a call of a unit by a node in the code of another."""
        self.calls[unit].append((owner, function_of(node), node))

    def runs_after(self, place: ProgramPoint) -> set[ProgramPoint]:
        """Returns all places that may be executed after a given one."""
        return _After(self).of(place)

    def runs_in(self, unit: Unit) -> set[ProgramPoint]:
        """Returns all places that are executed when a unit is called."""
        return _After(self).within(unit)

    def runs_its_children(self, unit: Unit) -> bool:
        """Returns whether no visible code calls the children of a unit, so that a call of the unit
        itself runs them. Code above a Sequential may call its children one by one instead."""
        if not is_in_order(unit):
            return unit.grade == "shell"
        above = self.parents[unit]
        return not above or unit in self.calls or unit in self.passed or any(
            parent.grade != "graph" or parent.inherits or is_in_order(parent) for parent in above
        )  # fmt: skip


@final
class _After:
    """The nodes that may be executed after a place: later ones, what they call, then what follows
    the callers."""

    def __init__(self, graph: CallGraph) -> None:
        self._graph = graph
        self._found: set[ProgramPoint] = set()
        self._whole: set[tuple[Owner, str]] = set()  # functions that are executed entirely
        self._left: set[tuple[Any, ...]] = set()

    def of(self, place: ProgramPoint) -> set[ProgramPoint]:
        unit, node = place
        if node is not None:
            self._after_node(unit, node)
        elif unit is not None:
            self._after_unit(unit)
        return self._found

    def within(self, unit: Unit) -> set[ProgramPoint]:
        self._unit(unit)
        return self._found

    def _after_node(self, owner: Owner, node: Node) -> None:
        """Collects what may be executed after a node of the code of a unit."""
        for later in (*later_nodes(node), *_in_loops(node)):
            self._node(owner, later)
        function = function_of(node)
        if owner is not None and (owner, function) not in self._left:
            self._left.add((owner, function))
            self._after_calls(owner, function.name)
            if function.name == "forward":
                self._after_unit(owner)

    def _after_unit(self, unit: Unit) -> None:
        """Collects what may be executed after a unit that is run by a Sequential or by opaque
        code."""
        if (unit, None) in self._left:
            return
        self._left.add((unit, None))
        self._after_unknown(unit)
        for parent in self._graph.parents[unit]:
            if is_in_order(parent):
                children = [*parent.children.values()]
                for child in children[children.index(unit) + 1 :]:
                    self._unit(child)
            elif parent.grade == "graph":
                continue
            else:
                self._unit(parent)
            self._after_calls(parent, "forward")
            self._after_unit(parent)

    def _after_calls(self, unit: Unit, name: str) -> None:
        for owner, _, node in self._graph.calls.get(unit, ()):
            if node.method == name:
                self._after_node(owner, node)
        self._after_unknown(unit)

    def _after_unknown(self, unit: Unit) -> None:
        """Collects what unknown code that may call a unit executes, and what follows it."""
        for owner, node in self._graph.unknown if unit in self._graph.passed else ():
            if node is not None and (owner, node, "again") not in self._left:
                self._left.add((owner, node, "again"))
                self._node(owner, node)
                self._after_node(owner, node)

    def _node(self, owner: Owner, node: Node) -> None:
        if (owner, node) in self._found:
            return
        self._found.add((owner, node))
        if node.op == "call_module" and owner is not None:
            unit = owner.find(node.path)
            self._unit(unit, node.method)
        elif node.target[:1] == ":" and (own := self._graph.functions.get(node.target[1:])):
            self._function(None, own)
        elif self._graph.passed and (owner, node) in self._graph.unknown:
            for passed in self._graph.passed:
                self._unit(passed)
                for name in passed.functions:
                    self._unit(passed, name)

    def _unit(self, unit: Unit | None, name: str = "forward") -> None:
        """Collects everything that is executed in a unit."""
        if unit is None or (unit, name) in self._whole:
            return
        self._whole.add((unit, name))
        self._found.add((unit, None))
        if name in unit.functions:
            self._function(unit, unit.functions[name])
        elif unit.grade != "basic":
            for child in unit.children.values():
                self._unit(child)

    def _function(self, owner: Owner, function: Function) -> None:
        for node in function.nodes:
            self._node(owner, node)


def _in_loops(node: Node) -> Iterator[Node]:
    """Yields the nodes of all loops around a node, which may be executed again."""
    above = node.block.owner
    while isinstance(above, Node):
        if above.op == "loop":
            yield from above.walk()
        above = above.block.owner


def function_of(node: Node) -> Function:
    """Returns the function that contains a node."""
    owner: Any = node.block.owner
    while not isinstance(owner, Function):
        owner = owner.block.owner
    return owner
