"""Bypasses units: their inputs replace their outputs."""

from collections.abc import Sequence

from runner.errors import GraphError
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.memory_effects import always_gives, unit_shares
from runner.graph.ir.node import Argument, Node, Value
from runner.graph.ir.unit import Unit, joined
from runner.graph.transforms.call_sites import (
    Site,
    has_code,
    is_in_order,
    is_used,
    paired,
    parent_of,
    reads,
    sites,
)
from runner.graph.transforms.insert_clones import forwarded_value, isolate_unit


def bypass_unit(graph: Graph, path: str) -> None:
    """Replaces the outputs of all calls of a unit by its inputs, and removes the unit.

    An identity takes its place where the unit is still needed: in a Sequential, and below opaque
    code. Raises GraphError if a call has fewer inputs than outputs.
    """
    unit = graph.unit(path)
    for site in sites(graph, unit):
        bypass_call(graph, site.owner, site.function, site.node, f"{path} ({unit.name})", site)
    remove_uncalled(graph, path)


def bypass_call(
    graph: Graph, owner: Unit, function: Function, node: Node, what: str, where: object
) -> None:
    """Replaces all uses of the result of a call by its arguments, and erases the call. A result
    that is unpacked is replaced by as many arguments, in order."""
    given = [*node.args, *node.kwargs.values()]
    apart = [user for user in node.users if user.op == "unpack"]
    counts = {len(user.outputs) for user in apart} or {len(node.outputs)}
    count = counts.pop()
    fits = len(given) >= count and all(map(is_one, given[: max(count, 1)]))
    if not fits or not given or counts or len(apart) not in (0, len(node.users)):
        raise GraphError(
            f"{what} cannot be bypassed: in {where} it takes {_counted(given)} and returns "
            f"{count} values; these have to match."
        )
    values = [value for user in apart or [node] for value in user.outputs]
    was_shared = always_gives(owner, node)
    for value, other in zip(values, [*given[: max(count, 1)]] * len(values), strict=False):
        assert isinstance(other, Value)
        kept = other if was_shared else forwarded_value(graph, owner, function, node, value, other)
        value.replace_all_uses_with(kept)
    for user in apart:
        function.erase_node(user)
    function.erase_node(node)


def is_one(given: Argument) -> bool:
    """Returns whether an argument is a single value, as far as the code shows."""
    made = given.node if isinstance(given, Value) else None
    return isinstance(given, Value) and (made is None or made.op not in ("list", "dict"))


def _counted(given: Sequence[Argument]) -> str:
    return "a list, or none" if not given or not is_one(given[0]) else f"{len(given)} values"


def remove_uncalled(graph: Graph, path: str) -> None:
    """Removes a unit that is no longer called, or replaces it by an identity where one is
    needed."""
    parent, above, _ = parent_of(graph, path)
    unit = graph.unit(path)
    read = reads(graph, unit)
    if read and "Dropout" in unit.name:
        unit.set_argument("p", 0.0)  # attention reads it, and applies dropout by itself
    elif read:
        raise GraphError(f"{path} ({unit.name}) cannot be removed: code reads {read[0]!r}.")
    elif has_code(graph, above) and not is_in_order(parent) and not is_used(graph, unit):
        graph.remove(path)
    else:
        was_shared = unit_shares(unit) == "always"
        graph.replace(path, Unit.of("torch.nn:Identity"))
        if not was_shared:
            isolate_unit(graph, path)


def bypass_between(graph: Graph, start: str, end: str) -> None:
    """Connects the input of unit `start` to the users of unit `end`, and removes everything
    between.

    Raises GraphError unless both are called in the same blocks of code, or are in one Sequential.
    """
    parent, _, _ = parent_of(graph, start)
    ones, others = (sites(graph, graph.unit(path)) for path in (start, end))
    if ones or others or not is_in_order(parent):
        pairs = paired(ones, others, start, end)
        if not pairs:
            raise GraphError(f"{start} and {end} are not called from editable code.")
        for pair in pairs:
            _pass_nodes(graph, *pair)
    if is_in_order(parent):
        for path in _between(graph, start, end):
            graph.replace(path, Unit.of("torch.nn:Identity"))
        isolate_unit(graph, end)


def _between(graph: Graph, start: str, end: str) -> list[str]:
    """Returns the paths from one child of a Sequential to another, both included."""
    parent, above, first = parent_of(graph, start)
    other, _, last = parent_of(graph, end)
    names = [*parent.children]
    if parent is not other or names.index(first) > names.index(last):
        raise GraphError(
            f"{end} must follow {start} in the same {parent.name} "
            f"({above or 'the model'}), or be called in the same code."
        )
    inner = names[names.index(first) : names.index(last) + 1]
    return [joined(above, name) for name in inner if parent.children[name]]


def _pass_nodes(graph: Graph, one: Site, other: Site) -> None:
    """Replaces the output of the second node by the input of the first, and erases nodes that only
    contributed to it."""
    if len(other.node.outputs) > 1 or not is_one(one.given):
        raise GraphError(f"{other}: only calls with one input and one output can be bypassed.")
    block = one.node.block
    first, last = block.nodes.index(one.node), block.nodes.index(other.node)
    chain = [one.node]
    values = {*one.node.outputs}
    for node in block.nodes[first + 1 : last + 1]:
        if any(value in values for inner in node.walk() for value in inner.inputs):
            chain.append(node)
            values.update(value for inner in node.walk() for value in inner.outputs)
    if other.node not in chain:
        raise GraphError(f"{other}: the call does not depend on the output of {one.node.path}.")
    for value in other.node.outputs:
        given = forwarded_value(graph, one.owner, one.function, one.node, value, one.given)
        value.replace_all_uses_with(given)
    called = []
    for node in reversed(chain):
        if not node.users:
            called += [inner.path for inner in node.walk() if inner.op == "call_module"]
            one.function.erase_node(node)
    for path in dict.fromkeys(called):
        _drop_unused(graph, joined(one.path, path), one.owner)


def _drop_unused(graph: Graph, path: str, owner: Unit) -> None:
    unit = graph.unit(path)
    if unit is not owner and not is_used(graph, unit):
        remove_uncalled(graph, path)
