"""Ifs that decide by a flag of the If before them, put into that one.

Where nothing has a name for the flag, and each way through the first If says by a constant what
the second one does, each way may as well do it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from runner.graph.ir.jumps import ends, last_if
from runner.graph.ir.node import Argument, Block, Node, Value, map_values

_BOTH: Final = (True, False)


def fuse(node: Node) -> bool:
    """Put the If behind an If that decides by its flag into it; says whether there was one."""
    decision = _decision(node)
    if decision is None:
        return False
    flag = node.outputs.index(decision.args[0])
    said = [*_said(node, flag)]
    once = all(said.count(s) == 1 or len(_chosen(decision, s).nodes) == 1 for s in _BOTH)
    if not once or any(type(choice) is not bool for choice in said):
        return False
    _spread(node, flag, decision, {value: value for value in node.outputs})
    more = node.outputs[len(node.outputs) - len(decision.outputs) :]
    for old, new in zip(decision.outputs, more, strict=True):
        old.replace_all_uses_with(new)
    forget(decision)
    node.block.nodes.remove(decision)
    prune(node)
    return True


def put(argument: Argument, known: Mapping[Value, Argument]) -> Argument:
    """An argument with what values are known to be in their place."""
    return map_values(argument, lambda value: known.get(value, value)) if known else argument


def forget(node: Node) -> None:
    """Let a node that is removed use nothing any more."""
    for inner in node.walk():
        inner.args, inner.kwargs = (), {}


def _decision(node: Node) -> Node | None:
    """The If just behind one that alone uses a flag of it."""
    nodes = node.block.nodes
    behind = nodes[nodes.index(node) + 1]
    flag = behind.args[0] if behind.op == "if" else None
    if type(flag) is not Value or flag.node is not node or flag.name:
        return None
    return behind if [*flag.users] == [behind] else None


def _chosen(decision: Node, choice: Argument) -> Block:
    return decision.blocks[0 if choice else 1]


def _said(node: Node, flag: int) -> Iterator[Argument]:
    """What the ways through an If give for a flag."""
    for block in node.blocks:
        if not ends(block):
            inner, result = last_if(block), block.results[flag]
            if inner is not None and result in inner.outputs:
                yield from _said(inner, inner.outputs.index(result))
            else:
                yield result


def _spread(node: Node, flag: int, decision: Node, known: Mapping[Value, Argument]) -> None:
    """Do at the ends of the ways through an If what is decided behind it, where the values that
    are `known` then have other names."""
    before = [*node.outputs]
    for value in decision.outputs:
        node.add_output(value.name)
    for block in node.blocks:
        if ends(block):
            block.results += tuple(None for _ in decision.outputs)
            continue
        given = dict(zip(before, block.results, strict=True))
        inside = {value: put(argument, given) for value, argument in known.items()}
        block.results += _done(block, block.results[flag], decision, inside)


def _done(
    block: Block, said: Argument, decision: Node, known: Mapping[Value, Argument]
) -> tuple[Argument, ...]:
    """Do what is decided at the end of a block; gives the results of that."""
    if type(said) is Value and said.node is not None:
        inner = said.node
        _spread(inner, inner.outputs.index(said), decision, known)
        return tuple(inner.outputs[len(inner.outputs) - len(decision.outputs) :])
    chosen = _chosen(decision, said)
    moved = chosen.nodes[:-1]
    for node in moved:
        node.block = block
        for inner in node.walk():
            inner.args, inner.kwargs = put(inner.args, known), put({**inner.kwargs}, known)
    block.nodes[-1:-1] = moved
    chosen.nodes[:-1] = []
    results: tuple[Argument, ...] = put(chosen.results, known)
    return results


def prune(node: Node) -> None:
    """Give nothing that nobody uses."""
    places = [place for place, value in enumerate(node.outputs) if value.users]
    node.outputs[:] = [node.outputs[place] for place in places]
    for block in node.blocks:
        block.results = tuple(block.results[place] for place in places)
        inner = last_if(block)
        if inner is not None:
            prune(inner)
