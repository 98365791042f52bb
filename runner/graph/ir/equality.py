"""Structural equality of functions, so that functions that were only inspected remain shared."""

from collections.abc import Sequence

from runner import nested
from runner.graph.ir.argument import Argument, Call, Ref, Stored
from runner.graph.ir.function import Function
from runner.graph.ir.node import Block, Node, Value

Pairs = dict[Value, Value]  # values of one function -> values of the other
_PLAIN = frozenset([bool, int, str, Ref, Stored])


def alike(one: Function, other: Function) -> bool:
    """Returns whether two functions have the same parameters, nodes and names; inferred shapes and
    source lines are ignored."""
    if one.name != other.name or len(one.parameters) != len(other.parameters):
        return False
    for a, b in zip(one.parameters, other.parameters, strict=True):
        if (a.name, a.annotation, a.kind) != (b.name, b.annotation, b.kind):
            return False
        if not _same(a.default, b.default, {}):
            return False
    return _blocks(one.block, other.block, {})


def _blocks(one: Block, other: Block, pairs: Pairs) -> bool:
    return (
        len(one.nodes) == len(other.nodes)
        and _pair(one.inputs, other.inputs, pairs)
        and all(_nodes(a, b, pairs) for a, b in zip(one.nodes, other.nodes, strict=True))
    )


def _nodes(one: Node, other: Node, pairs: Pairs) -> bool:
    return (
        one.op == other.op
        and one.target == other.target
        and len(one.blocks) == len(other.blocks)
        and _same(one.args, other.args, pairs)
        and _same(one.kwargs, other.kwargs, pairs)
        and all(_blocks(a, b, pairs) for a, b in zip(one.blocks, other.blocks, strict=True))
        and _pair(one.outputs, other.outputs, pairs)
    )


def _pair(ones: Sequence[Value], others: Sequence[Value], pairs: Pairs) -> bool:
    """Records which values correspond to each other; returns False if their names differ."""
    if [value.name for value in ones] != [value.name for value in others]:
        return False
    pairs.update(zip(ones, others, strict=True))
    return True


def _same(one: Argument, other: Argument, pairs: Pairs) -> bool:
    """Returns whether two arguments are equal. Symbolic choices and units equal only themselves."""
    return nested.alike(one, other, lambda a, b: _same_leaf(a, b, pairs))


def _same_leaf(one: Argument, other: Argument, pairs: Pairs) -> bool:
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is Value:
        return pairs.get(one) is other
    if one is other:
        return True
    if kind is Call:
        ours, theirs = ([call.target, call.args, {**call.kwargs}] for call in (one, other))
        return _same(ours, theirs, pairs)
    if kind is float or kind is complex:
        return repr(one) == repr(other)  # distinguishes 0.0 from -0.0; nan equals itself
    return kind in _PLAIN and bool(one == other)
