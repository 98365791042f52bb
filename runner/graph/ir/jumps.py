"""Jumps: how blocks are left before their end.

Besides errors, a `raise` in a function that is being written may be a `return` (of its argument),
or a `break` or `continue` (its arguments are the values that the loop carries from there on).
"""

from collections.abc import Iterator
from typing import Final

from runner.graph.ir.node import Argument, Block, Body, Node

RETURN: Final = ":return"
BREAK: Final = ":break"
CONTINUE: Final = ":continue"


def is_jump(node: Node) -> bool:
    """Returns whether a node is a break or a continue."""
    return node.op == "raise" and node.target in (BREAK, CONTINUE)


def ends(block: Block) -> bool:
    """Returns whether every path through a block leaves it before its end."""
    return any(
        node.op == "raise" or (node.op in ("if", "with") and all(map(ends, node.blocks)))
        for node in block.nodes
    )


def last_if(block: Block) -> Node | None:
    """Returns the If at the end of a block, if there is one."""
    return block.nodes[-2] if len(block.nodes) > 1 and block.nodes[-2].op == "if" else None


def loop_of(node: Node) -> Node:
    """Returns the innermost loop around a node."""
    owner = node.block.owner
    assert not isinstance(owner, Body), "only loops have breaks"
    return owner if owner.op == "loop" else loop_of(owner)


def jumps(loop: Node) -> Iterator[Node]:
    """Yields the breaks and continues of a loop."""
    return _jumps(loop.blocks[0])


def _jumps(block: Block) -> Iterator[Node]:
    for node in block.nodes:
        if is_jump(node):
            yield node
        elif node.op in ("if", "with"):
            for inner in node.blocks:
                yield from _jumps(inner)


def rounds(loop: Node, place: int) -> list[Argument]:
    """Returns what iterations of a loop may assign to one of the values that it carries."""
    body = loop.blocks[0]
    last = [] if ends(body) else [body.results[1 + place]]
    return last + [jump.args[place] for jump in jumps(loop)]
