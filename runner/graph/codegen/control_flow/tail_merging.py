"""Tail merging: a condition of a `while` that several paths compute is written once.

TorchScript evaluates the condition before each `continue` and at the end of the body. Equal nodes
at the ends of both blocks of an If move after it, if they lead to the condition of its loop.
"""

from collections.abc import Sequence

from runner.graph.codegen.control_flow.jump_threading import drop_unused_outputs
from runner.graph.codegen.expressions.expression_trees import key_of
from runner.graph.ir import effects
from runner.graph.ir.node import Argument, Body, Node, Value, producer
from runner.nested import alike, leaves, rebuild

_ValuePairs = dict[tuple[Value, Value], Value]
_NodeChange = tuple[Node, Argument, Argument]


class _DifferError(Exception):
    """Raised for two nodes that differ."""


def merge_tails(node: Node) -> bool:
    """Moves the nodes by which both blocks of an If compute the condition of a loop after the If;
    returns whether both compute the same."""
    value = next((value for value in node.outputs if _is_condition(value)), None)
    if value is None or node.block.nodes[-2] is not node:
        return False
    place = node.outputs.index(value)
    made = [producer(block.results[place]) for block in node.blocks]
    sizes = [
        len(block.nodes) - 1 - block.nodes.index(each)
        for block, each in zip(node.blocks, made, strict=True)
        if each is not None and each.block is block
    ]
    if len(sizes) < 2:
        return False
    most = min(len(block.nodes) - 1 for block in node.blocks)
    return any(_merge_last(node, size) for size in range(max(sizes), most + 1))


def _is_condition(value: Value) -> bool:
    """Returns whether a value is used only as the condition that a `while` tests next."""
    user = next(iter(value.users)) if len(value.users) == 1 else None
    if user is None or user.op != "output" or [*user.args].count(value) != 1:
        return False
    owner = user.block.owner
    if isinstance(owner, Body):
        return False
    if owner.op == "loop":
        return owner.args[0] is None and user.args[0] is value
    return owner.op == "if" and _is_condition(owner.outputs[user.args.index(value)])


def _merge_last(node: Node, size: int) -> bool:
    """Moves the last `size` nodes of both blocks of an If after it, if they are equal."""
    then, other = (block.nodes[-1 - size : -1] for block in node.blocks)
    given = [*zip(*(block.results for block in node.blocks), strict=True)]
    pairs = {pair: v for pair, v in zip(given, node.outputs, strict=True) if _values(pair) == 2}
    made: _ValuePairs = {}
    try:
        changes = [c for n, o in zip(then, other, strict=True) for c in _same(n, o, pairs, made)]
    except _DifferError:
        return False
    inside = {value for pair in made for value in pair}
    if any(pair not in made and any(type(v) is Value and v in inside for v in pair)
           for pair in given):  # fmt: skip
        return False
    for changed, args, kwargs in changes:
        changed.args, changed.kwargs = args, kwargs
    node.block.adopt(then, -1)
    for duplicate in other:
        duplicate.erase()
    for pair, value in zip(given, [*node.outputs], strict=True):
        if pair in made:
            value.replace_all_uses_with(made[pair])
    drop_unused_outputs(node)
    return True


def _values(pair: Sequence[Argument]) -> int:
    return sum(type(item) is Value for item in pair)


def _same(node: Node, other: Node, pairs: _ValuePairs, made: _ValuePairs) -> list[_NodeChange]:
    """Returns the arguments of equal nodes as they are after the If, and adds their outputs to
    `made`. Raises _DifferError."""
    is_known = node.op != "loop" and effects.effect(node) != effects.WRITE
    if not is_known or _kind(node) != _kind(other):
        raise _DifferError
    both = [(each.args, {**each.kwargs}) for each in (node, other)]
    args, kwargs = _merged(both[0], both[1], {**pairs, **made})
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


def _merged(one: Argument, other: Argument, known: _ValuePairs) -> Argument:
    """Returns an argument that equals one in the first block, and the other in the second."""

    def same(a: Argument, b: Argument) -> bool:
        if type(a) is Value or type(b) is Value:
            return a is b or (a, b) in known
        return bool(key_of(a) == key_of(b))

    if not alike(one, other, same):
        raise _DifferError
    merged = (known.get((a, b), a) if type(a) is Value and a is not b else a
              for a, b in zip(leaves(one), leaves(other), strict=True))  # fmt: skip
    return rebuild(one, lambda _: next(merged))
