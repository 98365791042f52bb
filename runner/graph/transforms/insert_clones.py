"""Inserts clones for in-place writes: when a unit or call no longer creates a new tensor, a later
in-place write would otherwise reach other uses of its input."""

from collections.abc import Iterable
from typing import final

from runner.graph.ir.argument import Ref
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.memory_effects import may_give, unit_shares, works_in_place
from runner.graph.ir.node import Node, Parameter, Value
from runner.graph.ir.unit import Unit
from runner.graph.transforms.alias_analysis import Aliases, Point, Write
from runner.graph.transforms.call_graph import ProgramPoint
from runner.graph.transforms.call_sites import sites

_OUTPUT_UNUSED = (
    "Conv",
    "Linear",
    "Norm",
)  # names of classes whose backward pass does not need their output


@final
class LaterWrites:
    """The in-place writes to values at some points, and to everything derived from them.

    `units` are modules constructed with `inplace=True`. `needs_clone` is true if it does not
    suffice to change that: code writes, or something observes the write of such a unit other than
    through its output.
    """

    def __init__(
        self, aliases: Aliases, points: Iterable[Point], without: Iterable[Point] = ()
    ) -> None:
        self._aliases = aliases
        found = aliases.derived(points, without=without, through_units=False)
        writes = [write for point in found for write in aliases.writes.get(point, ())]
        self.units = [*dict.fromkeys(write.unit for write in writes if write.unit is not None)]
        self.needs_clone = (
            any(write.unit is None for write in writes)
            or (bool(self.units) and any(map(_is_shared, found)))
            or not all(map(self._is_free, self.units))
        )

    def disable_in_place(self) -> None:
        """Sets `inplace=False` for the units."""
        for unit in self.units:
            unit.set_argument("inplace", False)

    def _is_free(self, unit: Unit) -> bool:
        """Returns whether the write of a unit that works in place is observed only through its
        output."""
        parents = self._aliases.call_graph.parents[unit]
        if len(parents) != 1 or parents[0].grade == "shell":
            return False
        return all(
            node.users and node.inputs and len(node.inputs[0].users) == 1
            for _, _, node in self._aliases.call_graph.calls[unit]
        )


def _is_shared(point: Point) -> bool:
    """Returns whether a value has several users."""
    _, value = point
    return isinstance(value, Value) and len(value.users) > 1


def _writes_to_input(
    aliases: Aliases, points: Iterable[Point], place: ProgramPoint, without: Iterable[Point]
) -> list[Write]:
    """Returns the writes, after a place, to its input or to anything that shares memory with it."""
    found = aliases.sharing(points, without=without)
    writes = [write for point in found for write in aliases.writes.get(point, ())]
    if not writes:
        return []
    after = aliases.call_graph.runs_after(place)
    return [write for write in writes if write.place in after]


def forwarded_value(
    graph: Graph, owner: Unit, function: Function, node: Node, value: Value, given: Value
) -> Value:
    """Returns the value that replaces an output of a node by its input `given`: `given` itself,
    with in-place work on it disabled if possible, or a clone inserted before the node."""
    aliases = Aliases(graph)
    later = LaterWrites(aliases, [(owner, value)])
    made = [(owner, output) for output in node.outputs]
    needs_copy = later.needs_clone and not _is_disposable(owner, node, given)
    if needs_copy or _writes_to_input(aliases, [(owner, given)], (owner, node), made):
        with function.inserting_before(node):
            return function.call_method("clone", given)
    if not later.needs_clone:
        later.disable_in_place()
    return given


def is_written_after(graph: Graph, owner: Unit, node: Node, given: Value) -> bool:
    """Returns whether the input of a node may be modified in place from that node on."""
    aliases = Aliases(graph)
    after = {(owner, node), *aliases.call_graph.runs_after((owner, node))}
    unit = owner.find(node.path) if node.op == "call_module" else None
    if unit is not None:
        after |= aliases.call_graph.runs_in(unit)
    found = aliases.sharing([(owner, given)])
    return any(write.place in after for point in found for write in aliases.writes.get(point, ()))


def isolate_unit(graph: Graph, path: str) -> None:
    """Prevents writes to the output of a unit, which may be its input, from reaching that input."""
    unit = graph.unit(path)
    called = sites(graph, unit)
    for site in called:
        isolate_call(graph, site.owner, site.function, site.node)
    aliases = Aliases(graph)
    if not any(map(aliases.call_graph.runs_its_children, aliases.call_graph.parents[unit])):
        return
    outputs = [(site.owner, value) for site in called for value in site.node.outputs]
    inputs = [(site.owner, value) for site in called for value in site.node.inputs]
    later = LaterWrites(aliases, [(unit, "out")], outputs)
    inside = [*outputs, *inputs, (unit, "out")]
    if not later.needs_clone and not _writes_to_input(
        aliases, [(unit, "in")], (unit, None), inside
    ):
        later.disable_in_place()
    else:
        clone_input(graph, path)


def clone_input(graph: Graph, path: str) -> None:
    """Makes a unit work on a clone of its input."""
    unit = graph.unit(path)
    if works_in_place(unit):
        unit.set_argument("inplace", False)
    elif unit.name == "Identity":
        graph.replace(path, cloning_identity())
    else:
        graph.replace(path, Unit.of("torch.nn:Sequential", cloning_identity(), unit))


def isolate_call(graph: Graph, owner: Unit, function: Function, node: Node) -> None:
    """Clones the first argument of a node, if it may be its output and writes to the output would
    reach it."""
    if not may_give(owner, node):
        return
    for given in node.inputs[:1]:
        for value in node.outputs:
            kept = forwarded_value(graph, owner, function, node, value, given)
            if kept is not given:
                node.replace_input(given, kept)


def may_return_input(graph: Graph, unit: Unit) -> bool:
    """Returns whether a unit may return its input, or a view of it."""
    if unit.grade == "basic":
        return unit_shares(unit) != "never"
    return (unit, "out") in Aliases(graph).derived([(unit, "in")])


def cloning_identity() -> Unit:
    """Returns a unit that returns a clone of its input."""
    unit = Unit("graph", Ref("torch.nn:Identity"))
    forward = Function("forward", [Parameter("input", annotation="torch.Tensor")])
    forward.result = forward.call_method("clone", forward.inputs[0])
    unit.define(forward)
    return unit


def _is_disposable(owner: Unit, node: Node, given: Value) -> bool:
    """Returns whether a node is the only user of the output of a layer that does not need it for
    its backward pass."""
    made = given.node if [*given.users] == [node] else None
    unit = owner.find(made.path) if made is not None and made.op == "call_module" else None
    if unit is None or unit.grade != "basic" or unit_shares(unit) != "never":
        return False
    return any(name in unit.name for name in _OUTPUT_UNUSED)
