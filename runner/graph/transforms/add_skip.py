"""Joins of what there is: residual connections from one unit to another."""

from runner.errors import GraphError
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Value
from runner.graph.transforms.bypass import is_one
from runner.graph.transforms.call_sites import Site, opened_sites, paired
from runner.graph.transforms.insert_clones import is_changed


def add_skip(graph: Graph, start: str, end: str) -> None:
    """Add what one unit is given to what another one gives, or itself; a Sequential that holds them
    gets a forward of its own. Raises GraphError unless both are called in the same blocks of code.
    """
    ones = opened_sites(graph, start)
    others = ones if start == end else opened_sites(graph, end)
    for one, other in paired(ones, others, start, end):
        _add(graph, one, other)


def _add(graph: Graph, one: Site, other: Site) -> None:
    """Add what one node is given to what another one gives; a copy of it, if it is changed."""
    given = one.given
    if not isinstance(given, Value) or not is_one(given) or len(other.node.outputs) != 1:
        raise GraphError(f"{other}: a skip goes from one tensor to one tensor.")
    function, node = other.function, other.node
    if is_changed(graph, one.owner, one.node, given):
        with function.inserting_before(one.node):
            given = function.call_method("clone", given)
    users = [*node.output.users]
    with function.inserting_after(node):
        total = function.call_function("operator:add", node.output, given)
    total.name = node.output.name
    for user in users:
        user.replace_input(node.output, total)
