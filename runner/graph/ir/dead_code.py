"""Dead-code elimination."""

from runner.graph.ir.effects import WRITE, effect
from runner.graph.ir.node import Block


def eliminate_dead_code(block: Block) -> None:
    """Erases the nodes of a block, and of those inside, that have no effect and whose outputs are
    unused. Control flow stays."""
    for node in reversed(block.nodes[:-1]):
        for inner in node.blocks:
            eliminate_dead_code(inner)
        if node.outputs and not node.users and not node.blocks and effect(node) != WRITE:
            node.args, node.kwargs = (), {}
            block.nodes.remove(node)
