"""Continues where the source had them: none at the end of a round, one before the rest of it."""

from collections.abc import Sequence

from runner.graph.codegen.control_flow.jump_threading import prune, put
from runner.graph.ir.jumps import CONTINUE, ends, last_if
from runner.graph.ir.node import Argument, Block, Node, Value


def drop_last_continues(loop: Node) -> bool:
    """Let ways through a round end where they would continue with nothing behind; says whether
    any did."""
    body = loop.blocks[0]
    if ends(body) or body.results[0] is not True or not _continues(body):
        return False
    names = [value.name for value in body.inputs[1:]]
    body.results = (True, *_end(body, body.results[1:], names))
    prune(body.nodes[-2])
    return True


def continue_early(loop: Node) -> bool:
    """Continue where a round ends with an If whose first block is empty: the second one is the
    rest of the round, as `if not` would have been written otherwise. Says whether it does."""
    body = loop.blocks[0]
    node = last_if(body)
    if node is None or ends(body) or body.results[0] is not True:
        return False
    then, rest = node.blocks
    given = dict(zip(node.outputs, then.results, strict=True))
    if len(then.nodes) > 1 or len(rest.nodes) == 1 or ends(rest) or not _is_kept(loop, given):
        return False
    args = put(body.results[1:], given)
    then.nodes.insert(0, Node(then, "raise", CONTINUE, args))
    then.results = tuple(None for _ in then.results)
    return True


def _is_kept(loop: Node, given: dict[Value, Argument]) -> bool:
    """Whether a block that gives these values for those behind it sets no variable of a loop."""
    body = loop.blocks[0]
    return all(
        result not in given
        or given[result] is inner
        or (type(given[result]) is Value and given[result].name == inner.name != "")
        for inner, result in zip(body.inputs[1:], body.results[1:], strict=True)
        if type(result) is Value
    )


def _is_continue(node: Node) -> bool:
    return node.op == "raise" and node.target == CONTINUE


def _continues(block: Block) -> bool:
    """Whether a way to the end of a block continues instead."""
    if len(block.nodes) > 1 and _is_continue(block.nodes[-2]):
        return True
    node = last_if(block)
    return node is not None and any(map(_continues, node.blocks))


def _end(block: Block, results: Sequence[Argument], names: list[str]) -> tuple[Argument, ...]:
    """Let a block end where it continues: what a loop carries then, else these results."""
    if _is_continue(block.nodes[-2 if len(block.nodes) > 1 else -1]):
        jump = block.nodes.pop(-2)
        carried, jump.args = jump.args, ()
        return carried
    node = last_if(block)
    if node is None or not _continues(block):
        return tuple(None for _ in names) if ends(block) else (*results,)
    before = [*node.outputs]
    more = [node.add_output(name) for name in names]
    for inner in node.blocks:
        known = dict(zip(before, inner.results, strict=True))
        inner.results += _end(inner, put((*results,), known), names)
    return (*more,)
