"""Joins of what there is: residual connections from one unit to another."""

from runner.errors import GraphError
from runner.graph.graph import Graph
from runner.graph.node import Node, Value
from runner.graph.passing import is_one
from runner.graph.sites import Site, opened_sites, paired
from runner.graph.unit import Unit


def add_skip(graph: Graph, start: str, end: str) -> None:
    """Add what one unit is given to what another one gives, or itself; a Sequential that holds them
    gets a forward of its own. Raises GraphError unless both are called in the same blocks of code.
    """
    ones = opened_sites(graph, start)
    others = ones if start == end else opened_sites(graph, end)
    is_changed = overwrites(graph.unit(start))
    for one, other in paired(ones, others, start, end):
        _add(one, other, is_changed=is_changed)


def _add(one: Site, other: Site, *, is_changed: bool) -> None:
    """Add what one node is given to what another one gives; a copy of it, if it is changed."""
    given = one.given
    if not is_one(given) or len(other.node.outputs) != 1:
        raise GraphError(f"{other}: a skip goes from one tensor to one tensor.")
    function, node = other.function, other.node
    if is_changed:
        with function.inserting_before(one.node):
            given = function.call_method("clone", given)
    users = [*node.output.users]
    with function.inserting_after(node):
        total = function.call_function("operator:add", node.output, given)
    total.name = node.output.name
    for user in users:
        user.replace_input(node.output, total)


def overwrites(unit: Unit) -> bool:
    """Whether the first thing that a unit does to what it is given is done in place."""
    if unit.grade == "basic":
        return unit.call is not None and unit.call.kwargs.get("inplace") is True
    forward = unit.functions.get("forward")
    if forward is None:
        return any(overwrites(child) for child in [*unit.children.values()][:1] if child)
    return any(
        _overwrites(unit, node, value) for value in forward.inputs[:1] for node in value.users
    )


def _overwrites(unit: Unit, node: Node, value: Value) -> bool:
    """Whether a node changes a value that it is given."""
    if (*node.args, *node.kwargs.values())[0] is not value:
        return False
    if node.op == "call_module":
        below = unit.children.get(node.path)  # None for a part of what is not looked at
        return below is not None and overwrites(below)
    if node.op not in ("call_function", "call_method"):
        return False
    name = node.target.rpartition(":")[2]
    is_inplace = name.endswith("_") and not name.endswith("__")
    return is_inplace or node.target in _IN_PLACE or node.kwargs.get("inplace") is True


_IN_PLACE = frozenset(
    f"operator:i{name}" for name in ("add", "sub", "mul", "truediv", "floordiv", "pow", "and", "or")
)
