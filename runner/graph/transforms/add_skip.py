"""Residual connections from one unit to another."""

from runner.errors import GraphError
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Value
from runner.graph.transforms.bypass import is_one
from runner.graph.transforms.call_sites import Site, explicit_sites, paired
from runner.graph.transforms.insert_clones import is_written_after


def add_skip(graph: Graph, start: str, end: str) -> None:
    """Adds the input of one unit to the output of another, or to its own. A Sequential that
    contains them gets an explicit forward. Raises GraphError unless both are called in the same
    blocks of code."""
    ones = explicit_sites(graph, start)
    others = ones if start == end else explicit_sites(graph, end)
    for one, other in paired(ones, others, start, end):
        _add(graph, one, other)


def _add(graph: Graph, one: Site, other: Site) -> None:
    """Adds the input of one node to the output of another; a clone of it if it is modified in place
    in between."""
    given = one.given
    if not isinstance(given, Value) or not is_one(given) or len(other.node.outputs) != 1:
        raise GraphError(f"{other}: a skip connects one input tensor with one output tensor.")
    function, node = other.function, other.node
    if is_written_after(graph, one.owner, one.node, given):
        with function.inserting_before(one.node):
            given = function.call_method("clone", given)
    users = [*node.output.users]
    with function.inserting_after(node):
        total = function.call_function("operator:add", node.output, given)
    total.name = node.output.name
    for user in users:
        user.replace_input(node.output, total)
