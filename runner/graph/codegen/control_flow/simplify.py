"""What is decided in a function once blocks are left early, written out.

An If that has one block left to go on is not nested around the rest; one whose condition is a
constant is its block; a flag that is the same on all ways to a place is a constant there.
"""

from collections.abc import Sequence

from runner.graph.codegen.control_flow.jump_threading import forget, fuse
from runner.graph.codegen.control_flow.tail_merging import sink
from runner.graph.ir.jumps import ends, rounds
from runner.graph.ir.node import Argument, Block, Node, Value


def simplify(block: Block) -> bool:
    """Write out what is decided in a block, and in those below; says whether anything was."""
    changed = False
    while _settle(block):
        changed = True
    return changed


def _settle(block: Block) -> bool:
    changed = False
    present = {*block.nodes}
    for node in [node for node in block.nodes if node.blocks or node.op == "raise"]:
        if node not in present:
            continue
        for inner in node.blocks:
            changed |= _settle(inner)
        if _is_decided(node):
            _unwrap(node, node.blocks[0 if node.args[0] else 1])
            changed, present = True, {*block.nodes}
        elif node.op != "loop" and all(map(ends, node.blocks)):
            return _cut(block, node) or changed
        elif _settled(node):
            changed, present = True, {*block.nodes}
    return changed


def _is_decided(node: Node) -> bool:
    return node.op == "if" and type(node.args[0]) is bool


def _settled(node: Node) -> bool:
    """Write out what is decided in a node itself; says whether anything was."""
    if node.op == "loop":
        return _same_in_rounds(node)
    if node.op not in ("if", "with"):
        return False
    going = [block for block in node.blocks if not ends(block)]
    if node.op == "if" and len(going) == 1 and (node.outputs or len(going[0].nodes) > 1):
        _lift(node, going[0])
        return True
    found = [
        _settled_value(value, [block.results[place] for block in going])
        for place, value in enumerate(node.outputs)
    ]
    return any(found) or (node.op == "if" and (fuse(node) or sink(node)))


def _same_in_rounds(loop: Node) -> bool:
    body = loop.blocks[0]
    found = False
    for place, (inner, outer) in enumerate(zip(body.inputs[1:], loop.outputs, strict=True)):
        given = [loop.args[2 + place], *(v for v in rounds(loop, place) if v is not inner)]
        found |= _constant(outer, given)
        found |= _constant(inner, given)
    return found


def _settled_value(value: Value, given: Sequence[Argument]) -> bool:
    """Put what both blocks of an If give in the place of its output."""
    first = given[0]
    if type(first) is not Value or len(given) == 1 or given[1] is not first or not value.users:
        return _constant(value, given)
    if value.name not in ("", first.name):
        return False  # the source had a copy there
    value.replace_all_uses_with(first)
    return True


def _constant(value: Value, given: Sequence[Argument]) -> bool:
    """Put a constant in the place of a value that can be nothing else."""
    first = given[0]
    is_one = (type(first) is bool or first is None) and all(other is first for other in given)
    if not is_one or not value.users:
        return False
    value.replace_all_uses_with(first)
    return True


def _cut(block: Block, node: Node) -> bool:
    """Remove what is behind a node that never goes on."""
    behind = block.nodes[block.nodes.index(node) + 1 : -1]
    results = tuple(None for _ in block.results)
    changed = bool(behind) or any(result is not None for result in block.results)
    block.results = results
    for late in reversed(behind):
        forget(late)
        block.nodes.remove(late)
    for value in node.outputs:
        value.replace_all_uses_with(None)
    return changed


def _unwrap(node: Node, chosen: Block) -> None:
    """Put the nodes of one block of an If in its place."""
    _lift(node, chosen)
    forget(node)
    node.block.nodes.remove(node)


def _lift(node: Node, going: Block) -> None:
    """Put the nodes of one block of an If behind it."""
    for value, result in zip(node.outputs, going.results, strict=True):
        if type(result) is Value and not result.name and result.node in going.nodes:
            result.name = value.name
        value.replace_all_uses_with(result)
    node.outputs.clear()
    place = node.block.nodes.index(node) + 1
    node.block.nodes[place:place] = going.nodes[:-1]
    for inner in going.nodes[:-1]:
        inner.block = node.block
    going.nodes[:-1] = []
    for block in node.blocks:
        block.results = ()
