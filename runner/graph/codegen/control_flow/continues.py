"""Continues where the source had them: none at the end of an iteration, one before the rest."""

from collections.abc import Sequence

from runner.graph.codegen.control_flow.jump_threading import drop_unused_outputs, substitute
from runner.graph.ir.jumps import CONTINUE, ends, last_if
from runner.graph.ir.node import Argument, Block, Node, Value


def drop_last_continues(loop: Node) -> bool:
    """Removes continues with nothing after them in the body of a loop, and makes the values that
    they carried its results; returns whether there were any."""
    body = loop.blocks[0]
    if not (ends(body) or body.results[0] is True) or not _continues(body):
        return False
    names = [value.name for value in body.inputs[1:]]
    body.results = (True, *_without_continue(body, body.results[1:], names))
    drop_unused_outputs(body.nodes[-2])
    return True


def continue_early(loop: Node) -> bool:
    """Writes a continue where a loop ends with an If whose second block is the rest of the body.
    That is so if the first one is empty, since the source would have had `if not` otherwise, and
    assumed if the loop may be left in the second one. Returns whether there is one."""
    body = loop.blocks[0]
    node = last_if(body)
    if node is None or ends(body) or body.results[0] is not True:
        return False
    then, rest = node.blocks
    given = dict(zip(node.outputs, then.results, strict=True))
    is_rest = len(then.nodes) == 1 or any(any(map(ends, each.blocks)) for each in rest.nodes)
    if not is_rest or len(rest.nodes) == 1 or ends(rest) or not _is_kept(loop, given):
        return False
    args = substitute(body.results[1:], given)
    then.nodes.insert(len(then.nodes) - 1, Node(then, "raise", CONTINUE, args))
    then.results = tuple(None for _ in then.results)
    return True


def _is_kept(loop: Node, given: dict[Value, Argument]) -> bool:
    """Returns whether a block with these results assigns no variable that its loop carries."""
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
    """Returns whether some path to the end of a block continues there."""
    if len(block.nodes) > 1 and _is_continue(block.nodes[-2]):
        return True
    node = last_if(block)
    return node is not None and any(map(_continues, node.blocks))


def _without_continue(
    block: Block, results: Sequence[Argument], names: list[str]
) -> tuple[Argument, ...]:
    """Removes the continue at the end of a block; returns the values that it carried, or `results`
    on paths without one."""
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
        inner.results += _without_continue(inner, substitute((*results,), known), names)
    return (*more,)
