"""Folds branches: an If whose condition is a constant is replaced by the block that it takes."""

from runner.graph.ir.node import Block

_CONSTANTS = (bool, int, float, str, type(None))


def fold_branches(block: Block) -> None:
    """Folds the branches of a block, and of all blocks that remain inside."""
    for node in [node for node in block.nodes if node.blocks]:
        if node.op != "if" or type(node.args[0]) not in _CONSTANTS:
            for inner in node.blocks:
                fold_branches(inner)
            continue
        taken = node.blocks[0 if node.args[0] else 1]
        fold_branches(taken)
        results = taken.results
        block.adopt(taken.nodes[:-1], block.nodes.index(node))
        for value, result in zip(node.outputs, results, strict=True):
            value.replace_all_uses_with(result)
        node.erase()
