"""Keeps work in place from what it was not meant for: when a unit or a call no longer makes a new
tensor, what changes it behind that would change what others have, too."""

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

_MAKERS = ("Conv", "Linear", "Norm")  # in names of classes that need what they gave no more


@final
class Later:
    """The writes to what a place makes, or to anything derived from that.

    `units` were told to work in place, and can be told not to; `is_hard` where that is not enough:
    code writes, or something reads what such a unit changed other than through its result.
    """

    def __init__(
        self, aliases: Aliases, points: Iterable[Point], without: Iterable[Point] = ()
    ) -> None:
        self._aliases = aliases
        found = aliases.derived(points, without=without, through_units=False)
        writes = [write for point in found for write in aliases.writes.get(point, ())]
        self.units = [*dict.fromkeys(write.unit for write in writes if write.unit is not None)]
        self.is_hard = (
            any(write.unit is None for write in writes)
            or (bool(self.units) and any(map(_is_shared, found)))
            or not all(map(self._is_free, self.units))
        )

    def calm(self) -> None:
        """Tell the units to work in place no more."""
        for unit in self.units:
            unit.set_argument("inplace", False)

    def _is_free(self, unit: Unit) -> bool:
        """Whether nothing reads what a unit that works in place has changed, but through what it
        gives."""
        parents = self._aliases.call_graph.parents[unit]
        if len(parents) != 1 or parents[0].grade == "shell":
            return False
        return all(
            node.users and node.inputs and len(node.inputs[0].users) == 1
            for _, _, node in self._aliases.call_graph.calls[unit]
        )


def _is_shared(point: Point) -> bool:
    """Whether a value has several users, or is made by a unit for what it does beside."""
    _, value = point
    return isinstance(value, Value) and len(value.users) > 1


def _elsewhere(
    aliases: Aliases, points: Iterable[Point], place: ProgramPoint, without: Iterable[Point]
) -> list[Write]:
    """The writes, after a place, to what it is given, or to anything that has the same memory."""
    found = aliases.sharing(points, without=without)
    writes = [write for point in found for write in aliases.writes.get(point, ())]
    if not writes:
        return []
    after = aliases.call_graph.runs_after(place)
    return [write for write in writes if write.place in after]


def handed_on(
    graph: Graph, owner: Unit, function: Function, node: Node, value: Value, given: Value
) -> Value:
    """What may stand for a value that a node makes, where that is to be what the node is given:
    this very value, once nothing works on it in place; else a copy, made in front of the node."""
    aliases = Aliases(graph)
    later = Later(aliases, [(owner, value)])
    made = [(owner, output) for output in node.outputs]
    needs_copy = later.is_hard and not _is_spare(owner, node, given)
    if needs_copy or _elsewhere(aliases, [(owner, given)], (owner, node), made):
        with function.inserting_before(node):
            return function.call_method("clone", given)
    if not later.is_hard:
        later.calm()
    return given


def is_changed(graph: Graph, owner: Unit, node: Node, given: Value) -> bool:
    """Whether anything may change what a node is given in place, from that node on."""
    aliases = Aliases(graph)
    after = {(owner, node), *aliases.call_graph.runs_after((owner, node))}
    unit = owner.find(node.path) if node.op == "call_module" else None
    if unit is not None:
        after |= aliases.call_graph.runs_in(unit)
    found = aliases.sharing([(owner, given)])
    return any(write.place in after for point in found for write in aliases.writes.get(point, ()))


def calm_place(graph: Graph, path: str) -> None:
    """Have a unit that may give what it is given change nothing but the unit it stands for."""
    unit = graph.unit(path)
    called = sites(graph, unit)
    for site in called:
        keep_apart(graph, site.owner, site.function, site.node)
    aliases = Aliases(graph)
    if not any(map(aliases.call_graph.runs_its_children, aliases.call_graph.parents[unit])):
        return
    outputs = [(site.owner, value) for site in called for value in site.node.outputs]
    inputs = [(site.owner, value) for site in called for value in site.node.inputs]
    later = Later(aliases, [(unit, "out")], outputs)
    inside = [*outputs, *inputs, (unit, "out")]
    if not later.is_hard and not _elsewhere(aliases, [(unit, "in")], (unit, None), inside):
        later.calm()
    else:
        set_apart(graph, path)


def set_apart(graph: Graph, path: str) -> None:
    """Have a unit work on a copy of what it is given."""
    unit = graph.unit(path)
    if works_in_place(unit):
        unit.set_argument("inplace", False)
    elif unit.name == "Identity":
        graph.replace(path, copying())
    else:
        graph.replace(path, Unit.of("torch.nn:Sequential", copying(), unit))


def keep_apart(graph: Graph, owner: Unit, function: Function, node: Node) -> None:
    """Have a node that may give its first argument change nothing but what it stands for."""
    if not may_give(owner, node):
        return
    for given in node.inputs[:1]:
        for value in node.outputs:
            kept = handed_on(graph, owner, function, node, value, given)
            if kept is not given:
                node.replace_input(given, kept)


def passes(graph: Graph, unit: Unit) -> bool:
    """Whether a unit may give the very tensor that it is given."""
    if unit.grade == "basic":
        return unit_shares(unit) != "never"
    return (unit, "out") in Aliases(graph).derived([(unit, "in")])


def copying() -> Unit:
    """An identity that gives a copy."""
    unit = Unit("graph", Ref("torch.nn:Identity"))
    forward = Function("forward", [Parameter("input", annotation="torch.Tensor")])
    forward.result = forward.call_method("clone", forward.inputs[0])
    unit.define(forward)
    return unit


def _is_spare(owner: Unit, node: Node, given: Value) -> bool:
    """Whether only a node has a value, which a layer made that does not need it any more."""
    made = given.node if [*given.users] == [node] else None
    unit = owner.find(made.path) if made is not None and made.op == "call_module" else None
    if unit is None or unit.grade != "basic" or unit_shares(unit) != "never":
        return False
    return any(name in unit.name for name in _MAKERS)
