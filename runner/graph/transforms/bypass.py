"""Takes units out of the flow: what they are given goes on in place of what they would give."""

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
from runner.graph.transforms.insert_clones import calm_place, handed_on


def pass_by(graph: Graph, path: str) -> None:
    """Have the calls of a unit give what they are given, and take the unit out.

    An identity stands in its place where others count on one: in a Sequential, and in code that
    cannot be seen. Raises GraphError for a call that is given less than it gives.
    """
    unit = graph.unit(path)
    for site in sites(graph, unit):
        pass_node(graph, site.owner, site.function, site.node, f"{path} ({unit.name})", site)
    take_out(graph, path)


def pass_node(
    graph: Graph, owner: Unit, function: Function, node: Node, what: str, where: object
) -> None:
    """Put what a call in the code of a unit is given wherever its result is used, and erase the
    call. A result that is taken apart is as many arguments, in their order."""
    given = [*node.args, *node.kwargs.values()]
    apart = [user for user in node.users if user.op == "unpack"]
    counts = {len(user.outputs) for user in apart} or {len(node.outputs)}
    count = counts.pop()
    fits = len(given) >= count and all(map(is_one, given[: max(count, 1)]))
    if not fits or not given or counts or len(apart) not in (0, len(node.users)):
        raise GraphError(
            f"{what} cannot be passed by: in {where} it is given {_counted(given)} and gives "
            f"{count} values; it would have to be given what it gives."
        )
    values = [value for user in apart or [node] for value in user.outputs]
    was_shared = always_gives(owner, node)
    for value, other in zip(values, [*given[: max(count, 1)]] * len(values), strict=False):
        assert isinstance(other, Value)
        kept = other if was_shared else handed_on(graph, owner, function, node, value, other)
        value.replace_all_uses_with(kept)
    for user in apart:
        function.erase_node(user)
    function.erase_node(node)


def is_one(given: Argument) -> bool:
    """Whether an argument is a single value, as far as the code says."""
    made = given.node if isinstance(given, Value) else None
    return isinstance(given, Value) and (made is None or made.op not in ("list", "dict"))


def _counted(given: Sequence[Argument]) -> str:
    return "a list, or none" if not given or not is_one(given[0]) else f"{len(given)} values"


def take_out(graph: Graph, path: str) -> None:
    """Remove a unit that is called no more; one that others count on becomes an identity."""
    parent, above, _ = parent_of(graph, path)
    unit = graph.unit(path)
    read = reads(graph, unit)
    if read and "Dropout" in unit.name:
        unit.set_argument("p", 0.0)  # attention reads it, and does by itself what it says
    elif read:
        raise GraphError(f"{path} ({unit.name}) cannot be taken out: code reads {read[0]!r} there.")
    elif has_code(graph, above) and not is_in_order(parent) and not is_used(graph, unit):
        graph.remove(path)
    else:
        was_shared = unit_shares(unit) == "always"
        graph.replace(path, Unit.of("torch.nn:Identity"))
        if not was_shared:
            calm_place(graph, path)


def pass_from(graph: Graph, start: str, end: str) -> None:
    """Have what goes into one unit come out of another one behind it; what was between is gone.

    Raises GraphError unless both are called in the same blocks of code, or stand in one Sequential.
    """
    parent, _, _ = parent_of(graph, start)
    ones, others = (sites(graph, graph.unit(path)) for path in (start, end))
    if ones or others or not is_in_order(parent):
        pairs = paired(ones, others, start, end)
        if not pairs:
            raise GraphError(f"{start} and {end} are called by no code that can be changed.")
        for pair in pairs:
            _pass_nodes(graph, *pair)
    if is_in_order(parent):
        for path in _between(graph, start, end):
            graph.replace(path, Unit.of("torch.nn:Identity"))
        calm_place(graph, end)


def _between(graph: Graph, start: str, end: str) -> list[str]:
    """The paths from one child of a Sequential to another one."""
    parent, above, first = parent_of(graph, start)
    other, _, last = parent_of(graph, end)
    names = [*parent.children]
    if parent is not other or names.index(first) > names.index(last):
        raise GraphError(
            f"{end} must stand behind {start}, in the same {parent.name} "
            f"({above or 'the model'}), or be called in the same code."
        )
    inner = names[names.index(first) : names.index(last) + 1]
    return [joined(above, name) for name in inner if parent.children[name]]


def _pass_nodes(graph: Graph, one: Site, other: Site) -> None:
    """Give what the first node is given for what the other one gives; erase what only they need."""
    if len(other.node.outputs) > 1 or not is_one(one.given):
        raise GraphError(f"{other}: what is passed by must take one value, and give one.")
    block = one.node.block
    first, last = block.nodes.index(one.node), block.nodes.index(other.node)
    chain = [one.node]
    values = {*one.node.outputs}
    for node in block.nodes[first + 1 : last + 1]:
        if any(value in values for inner in node.walk() for value in inner.inputs):
            chain.append(node)
            values.update(value for inner in node.walk() for value in inner.outputs)
    if other.node not in chain:
        raise GraphError(f"In {other}, what is called there gets nothing from {one.node.path}.")
    for value in other.node.outputs:
        given = handed_on(graph, one.owner, one.function, one.node, value, one.given)
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
        take_out(graph, path)
