"""How blocks are left before their end.

Beside errors, a `raise` of a copy that is written may be a `return` (of its argument), or a `break`
or `continue` (its arguments are what the loop carries from there on).
"""

from collections.abc import Iterator
from typing import Final

from runner.graph.ir.node import Argument, Block, Body, Node

RETURN: Final = ":return"
BREAK: Final = ":break"
CONTINUE: Final = ":continue"


def is_jump(node: Node) -> bool:
    """Whether a node goes on with a loop, or behind it."""
    return node.op == "raise" and node.target in (BREAK, CONTINUE)


def ends(block: Block) -> bool:
    """Whether a block is always left before its end."""
    return any(
        node.op == "raise" or (node.op in ("if", "with") and all(map(ends, node.blocks)))
        for node in block.nodes
    )


def last_if(block: Block) -> Node | None:
    """The If at the end of a block, if one is there."""
    return block.nodes[-2] if len(block.nodes) > 1 and block.nodes[-2].op == "if" else None


def loop_of(node: Node) -> Node:
    """The innermost loop around a node."""
    owner = node.block.owner
    assert not isinstance(owner, Body), "only loops are left by a break"
    return owner if owner.op == "loop" else loop_of(owner)


def jumps(loop: Node) -> Iterator[Node]:
    """The breaks and continues of a loop."""
    return _jumps(loop.blocks[0])


def _jumps(block: Block) -> Iterator[Node]:
    for node in block.nodes:
        if is_jump(node):
            yield node
        elif node.op in ("if", "with"):
            for inner in node.blocks:
                yield from _jumps(inner)


def rounds(loop: Node, place: int) -> list[Argument]:
    """What the rounds of a loop may give for one of the values that it carries."""
    body = loop.blocks[0]
    last = [] if ends(body) else [body.results[1 + place]]
    return last + [jump.args[place] for jump in jumps(loop)]
