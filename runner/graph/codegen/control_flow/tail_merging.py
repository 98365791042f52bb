"""Conditions of `while` that stand at the ends of several ways through a round, written once.

TorchScript evaluates the condition before each `continue` and at the end of the round. What both
blocks of an If compute last is computed behind it, where it leads to the condition of its loop.
"""

from collections.abc import Sequence

from runner.graph.codegen.control_flow.jump_threading import forget, prune
from runner.graph.codegen.expression_trees import key_of
from runner.graph.ir import effects
from runner.graph.ir.node import Argument, Body, Node, Value

_ValuePairs = dict[tuple[Value, Value], Value]
_NodeChange = tuple[Node, Argument, Argument]


class _DifferError(Exception):
    """Two nodes do not do the same."""


def sink(node: Node) -> bool:
    """Compute behind an If what both of its blocks compute for the condition of a loop; says
    whether they do."""
    value = next((value for value in node.outputs if _is_condition(value)), None)
    if value is None or node.block.nodes[-2] is not node:
        return False
    place = node.outputs.index(value)
    given = [block.results[place] for block in node.blocks]
    made = [v.node for v in given if type(v) is Value and v.node is not None]
    sizes = [
        len(block.nodes) - 1 - block.nodes.index(n)
        for block, n in zip(node.blocks, made, strict=False)
        if n.block is block
    ]
    if len(sizes) < 2:
        return False
    most = min(len(block.nodes) - 1 for block in node.blocks)
    return any(_sink(node, size) for size in range(max(sizes), most + 1))


def _is_condition(value: Value) -> bool:
    """Whether a value is only what a `while` tests behind a round."""
    user = next(iter(value.users)) if len(value.users) == 1 else None
    if user is None or user.op != "output" or [*user.args].count(value) != 1:
        return False
    owner = user.block.owner
    if isinstance(owner, Body):
        return False
    if owner.op == "loop":
        return owner.args[0] is None and user.args[0] is value
    return owner.op == "if" and _is_condition(owner.outputs[user.args.index(value)])


def _sink(node: Node, size: int) -> bool:
    """Move the last nodes of both blocks of an If behind it, if they do the same."""
    then, other = (block.nodes[-1 - size : -1] for block in node.blocks)
    given = [*zip(*(block.results for block in node.blocks), strict=True)]
    pairs = {pair: value for pair, value in zip(given, node.outputs, strict=True) if _are(pair)}
    made: _ValuePairs = {}
    try:
        changes = [c for n, o in zip(then, other, strict=True) for c in _same(n, o, pairs, made)]
    except _DifferError:
        return False
    inside = {value for pair in made for value in pair}
    if any(not inside.isdisjoint(_values(pair)) and pair not in made for pair in given):
        return False
    _move(node, then, other, changes)
    for pair, value in zip(given, [*node.outputs], strict=True):
        if pair in made:
            value.replace_all_uses_with(made[pair])
    prune(node)
    return True


def _move(node: Node, then: list[Node], other: list[Node], changes: list[_NodeChange]) -> None:
    for changed, args, kwargs in changes:
        changed.args, changed.kwargs = args, kwargs
    for moved, twin in zip(then, other, strict=True):
        moved.block.nodes.remove(moved)
        twin.block.nodes.remove(twin)
        forget(twin)
        moved.block = node.block
    node.block.nodes[-1:-1] = then


def _are(pair: Sequence[Argument]) -> bool:
    return all(type(item) is Value for item in pair)


def _values(pair: Sequence[Argument]) -> list[Value]:
    return [item for item in pair if type(item) is Value]


def _same(node: Node, other: Node, pairs: _ValuePairs, made: _ValuePairs) -> list[_NodeChange]:
    """What nodes that do the same need behind the If; adds what they give to `made`."""
    is_known = node.op != "loop" and effects.effect(node) != effects.WRITE
    if not is_known or _kind(node) != _kind(other):
        raise _DifferError
    args = _merged(node.args, other.args, pairs, made)
    kwargs = _merged({**node.kwargs}, {**other.kwargs}, pairs, made)
    changes = [(node, args, kwargs)]
    for block, twin in zip(node.blocks, other.blocks, strict=True):
        for n, o in zip(block.nodes, twin.nodes, strict=True):
            changes += _same(n, o, pairs, made)
    made.update({pair: pair[0] for pair in zip(node.outputs, other.outputs, strict=True)})
    return changes


def _kind(node: Node) -> tuple[object, ...]:
    sizes = [len(block.nodes) for block in node.blocks]
    names = [value.name for value in node.outputs]
    return (node.op, node.target, names, [*node.kwargs], sizes)


def _merged(one: Argument, other: Argument, pairs: _ValuePairs, made: _ValuePairs) -> Argument:
    """What stands for two arguments behind the If."""
    kind = type(one)
    if kind is not type(other):
        raise _DifferError
    if kind is Value:
        if one is other:
            return one
        found = made.get((one, other)) or pairs.get((one, other))
        if found is None:
            raise _DifferError
        return found
    if kind in (tuple, list) and len(one) == len(other):
        return kind(_merged(a, b, pairs, made) for a, b in zip(one, other, strict=True))
    if kind is dict and [*one] == [*other]:
        return {key: _merged(one[key], other[key], pairs, made) for key in one}
    if kind in (tuple, list, dict) or key_of(one) != key_of(other):
        raise _DifferError
    return one
