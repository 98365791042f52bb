"""Folds branches: an If whose condition is a constant is replaced by the block that it takes."""

from collections.abc import Callable

from runner.graph.ir.node import Block, Node

_CONSTANTS = (bool, int, float, str, type(None))


def fold_branches(block: Block, resolve: Callable[[Node], None] = lambda node: None) -> None:
    """Folds the branches of a block, and of all blocks that remain inside. `resolve` is called for
    each node of them in the order of the program, for an If before its blocks: never for one in a
    block that is not taken."""
    for node in [*block.nodes]:
        resolve(node)
        if not node.blocks:
            continue
        if node.op != "if" or type(node.args[0]) not in _CONSTANTS:
            for inner in node.blocks:
                fold_branches(inner, resolve)
            continue
        taken = node.blocks[0 if node.args[0] else 1]
        fold_branches(taken, resolve)
        results = taken.results
        block.adopt(taken.nodes[:-1], block.nodes.index(node))
        for value, result in zip(node.outputs, results, strict=True):
            value.replace_all_uses_with(result)
        node.erase()
