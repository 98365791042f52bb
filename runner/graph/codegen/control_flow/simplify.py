"""Simplification of control flow once blocks are left early.

An If with one block that reaches its end is not nested around the rest; an If with a constant
condition becomes its block; a flag that is the same on all paths becomes a constant.
"""

from collections.abc import Sequence

from runner.graph.codegen.control_flow.jump_threading import thread_jumps
from runner.graph.codegen.control_flow.tail_merging import merge_tails
from runner.graph.ir.jumps import ends, rounds
from runner.graph.ir.node import Argument, Block, Node, Value


def simplify(block: Block) -> bool:
    """Simplifies a block and those inside until nothing changes; returns whether anything did."""
    changed = False
    while _simplify(block):
        changed = True
    return changed


def _simplify(block: Block) -> bool:
    changed = False
    present = {*block.nodes}
    for node in [node for node in block.nodes if node.blocks or node.op == "raise"]:
        if node not in present:
            continue
        for inner in node.blocks:
            changed |= _simplify(inner)
        if node.op == "if" and type(node.args[0]) is bool:
            _hoist(node, node.blocks[0 if node.args[0] else 1])
            node.erase()
            changed, present = True, {*block.nodes}
        elif node.op != "loop" and all(map(ends, node.blocks)):
            return _drop_unreachable(block, node) or changed
        elif _simplify_node(node):
            changed, present = True, {*block.nodes}
    return changed


def _simplify_node(node: Node) -> bool:
    if node.op == "loop":
        return _propagate_through_loop(node)
    if node.op not in ("if", "with"):
        return False
    going = [block for block in node.blocks if not ends(block)]
    if node.op == "if" and len(going) == 1 and (node.outputs or len(going[0].nodes) > 1):
        _hoist(node, going[0])
        return True
    found = [
        _propagate(value, [block.results[place] for block in going])
        for place, value in enumerate(node.outputs)
    ]
    return any(found) or (node.op == "if" and (thread_jumps(node) or merge_tails(node)))


def _propagate_through_loop(loop: Node) -> bool:
    body = loop.blocks[0]
    found = False
    for place, (inner, outer) in enumerate(zip(body.inputs[1:], loop.outputs, strict=True)):
        given = [loop.args[2 + place], *(v for v in rounds(loop, place) if v is not inner)]
        found |= _propagate_constant(outer, given)
        found |= _propagate_constant(inner, given)
    return found


def _propagate(value: Value, given: Sequence[Argument]) -> bool:
    """Replaces an output of an If by the result of both of its blocks, if that is one value."""
    first = given[0]
    if type(first) is not Value or len(given) == 1 or given[1] is not first or not value.users:
        return _propagate_constant(value, given)
    if value.name not in ("", first.name):
        return False  # the source had a copy there
    value.replace_all_uses_with(first)
    return True


def _propagate_constant(value: Value, given: Sequence[Argument]) -> bool:
    """Replaces a value by a constant if it cannot have any other value."""
    first = given[0]
    is_one = (type(first) is bool or first is None) and all(other is first for other in given)
    if not is_one or not value.users:
        return False
    value.replace_all_uses_with(first)
    return True


def _drop_unreachable(block: Block, node: Node) -> bool:
    """Removes the nodes after one that always leaves the block; returns whether any changed."""
    unreachable = block.nodes[block.nodes.index(node) + 1 : -1]
    changed = bool(unreachable) or any(result is not None for result in block.results)
    block.results = tuple(None for _ in block.results)
    for late in reversed(unreachable):
        late.erase()
    for value in node.outputs:
        value.replace_all_uses_with(None)
    return changed


def _hoist(node: Node, going: Block) -> None:
    """Moves the nodes of one block of an If after it, where they are not nested."""
    for value, result in zip(node.outputs, going.results, strict=True):
        if type(result) is Value and not result.name and result.node in going.nodes:
            result.name = value.name
        value.replace_all_uses_with(result)
    node.outputs.clear()
    node.block.adopt(going.nodes[:-1], node.block.nodes.index(node) + 1)
    for block in node.blocks:
        block.results = ()
