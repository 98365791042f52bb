"""Jump threading: merges an If into the preceding If that sets its condition.

Where the source has no name for the condition, and each path through the first If sets it to a
constant, each path may as well run the block that the second If would choose.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from runner.graph.ir.jumps import ends, last_if
from runner.graph.ir.node import Argument, Block, Node, Value, map_values

_BOTH: Final = (True, False)


def thread_jumps(node: Node) -> bool:
    """Merges the If that follows an If and tests an output of it; returns whether it did."""
    decision = _decision(node)
    if decision is None:
        return False
    flag = node.outputs.index(decision.args[0])
    settings = [*_settings(node, flag)]
    is_once = all(settings.count(s) == 1 or len(_chosen(decision, s).nodes) == 1 for s in _BOTH)
    if not is_once or any(type(setting) is not bool for setting in settings):
        return False
    _thread(node, flag, decision, {value: value for value in node.outputs})
    more = node.outputs[len(node.outputs) - len(decision.outputs) :]
    for old, new in zip(decision.outputs, more, strict=True):
        old.replace_all_uses_with(new)
    decision.erase()
    drop_unused_outputs(node)
    return True


def substitute(argument: Argument, known: Mapping[Value, Argument]) -> Argument:
    """Returns an argument with known arguments in place of values."""
    return map_values(argument, lambda value: known.get(value, value)) if known else argument


def _decision(node: Node) -> Node | None:
    """Returns the If right after a node that is the only user of a nameless flag of the node."""
    nodes = node.block.nodes
    following = nodes[nodes.index(node) + 1]
    flag = following.args[0] if following.op == "if" else None
    if type(flag) is not Value or flag.node is not node or flag.name:
        return None
    return following if [*flag.users] == [following] else None


def _chosen(decision: Node, choice: Argument) -> Block:
    return decision.blocks[0 if choice else 1]


def _settings(node: Node, flag: int) -> Iterator[Argument]:
    """Yields the values that the paths through an If set a flag to."""
    for block in node.blocks:
        if not ends(block):
            inner, result = last_if(block), block.results[flag]
            if inner is not None and result in inner.outputs:
                yield from _settings(inner, inner.outputs.index(result))
            else:
                yield result


def _thread(node: Node, flag: int, decision: Node, known: Mapping[Value, Argument]) -> None:
    """Moves the blocks of a decision to the ends of the paths through an If that choose them.
    `known` maps the values that the decision uses to those of the path."""
    before = [*node.outputs]
    for value in decision.outputs:
        node.add_output(value.name)
    for block in node.blocks:
        if ends(block):
            block.results += tuple(None for _ in decision.outputs)
            continue
        given = dict(zip(before, block.results, strict=True))
        inside = {value: substitute(argument, given) for value, argument in known.items()}
        block.results += _thread_block(block, block.results[flag], decision, inside)


def _thread_block(
    block: Block, setting: Argument, decision: Node, known: Mapping[Value, Argument]
) -> tuple[Argument, ...]:
    """Appends the nodes of the block that a flag's setting chooses; returns its results."""
    if type(setting) is Value and setting.node is not None:
        inner = setting.node
        _thread(inner, inner.outputs.index(setting), decision, known)
        return tuple(inner.outputs[len(inner.outputs) - len(decision.outputs) :])
    chosen = _chosen(decision, setting)
    moved = chosen.nodes[:-1]
    block.adopt(moved, -1)
    for node in [inner for each in moved for inner in each.walk()]:
        node.args, node.kwargs = substitute(node.args, known), substitute({**node.kwargs}, known)
    results: tuple[Argument, ...] = substitute(chosen.results, known)
    return results


def drop_unused_outputs(node: Node) -> None:
    """Removes the unused outputs of an If, and of the Ifs at the ends of its blocks."""
    places = [place for place, value in enumerate(node.outputs) if value.users]
    node.outputs[:] = [node.outputs[place] for place in places]
    for block in node.blocks:
        block.results = tuple(block.results[place] for place in places)
        inner = last_if(block)
        if inner is not None:
            drop_unused_outputs(inner)
