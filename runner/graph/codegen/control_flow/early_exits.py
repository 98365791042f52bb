"""Early exits: puts breaks, continues and returns back that TorchScript took apart.

TorchScript gives each block one end. An If with a `return` in one of its blocks outputs a flag and
the returned value, and a second If decides by the flag between that value and the rest; so does one
with a `break` or `continue`, whose flag finally decides whether the loop goes on. A loop with a
`return` carries the flag, and an If after it decides. Hence the end of a block is followed through
these decisions: if it leads to the next iteration, out of a loop or out of the function, and
nothing is computed on the way, the source had left the block there.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from runner.graph.codegen.control_flow.jump_threading import substitute
from runner.graph.ir import effects
from runner.graph.ir.jumps import BREAK, CONTINUE, RETURN, ends, rounds
from runner.graph.ir.node import Argument, Block, Body, Node, Value, producer

_TEST: Final = ":test"  # a continue of a loop whose condition the block itself evaluates

_KnownValues = dict[Value, Argument]


class _Jump(NamedTuple):
    """A jump out of a block: target and arguments of its `raise`."""

    target: str
    args: tuple[Argument, ...]


def place_exits(block: Block, *, tests: bool) -> bool:
    """Leaves the blocks inside a block early where their ends lead out; returns whether there are
    any. `tests` allows, as the last resort, a test between a break and a continue."""
    found = False
    for inner in [inner for node in block.nodes for inner in node.blocks]:
        found |= _replace_end(inner, together=True, tests=tests)
        found |= place_exits(inner, tests=tests)
        found |= _replace_end(inner, together=False, tests=tests)
    return found


def _replace_end(block: Block, *, together: bool, tests: bool) -> bool:
    """Ends a block with a jump if its end leads out; returns whether it does. `together` requires
    that all paths through the block lead to that jump."""
    jump = _jump_of(block)
    if (
        jump is None
        or (jump.target == _TEST and not tests)
        or (together and not all(_leads_to(b, block, jump) for b in _inner_blocks(block)))
    ):
        return False
    _insert_jump(block, jump)
    block.results = tuple(None for _ in block.results)
    return True


def _insert_jump(block: Block, jump: _Jump) -> None:
    """Inserts a jump at the end of a block."""
    if jump.target == _TEST:
        goes_on, *carried = jump.args
        test = Node(block, "if", "", (goes_on,))
        block.nodes.insert(len(block.nodes) - 1, test)
        test.add_block()
        _insert_jump(test.add_block(), _Jump(BREAK, (*carried,)))
        jump = _Jump(CONTINUE, (*carried,))
    block.nodes.insert(len(block.nodes) - 1, Node(block, "raise", *jump))


def _inner_blocks(block: Block, *, in_loop: bool = False) -> Iterator[tuple[Block, bool]]:
    """Yields the blocks inside a block, and whether a loop inside it is around them."""
    for node in block.nodes:
        for inner in node.blocks:
            inside = in_loop or node.op == "loop"
            yield inner, inside
            yield from _inner_blocks(inner, in_loop=inside)


def _leads_to(part: tuple[Block, bool], outer: Block, jump: _Jump) -> bool:
    """Returns whether the end of an inner block leads where that of the outer one does, without
    skipping anything."""
    block, is_of_loop = part
    own = _jump_of(block)
    if own is None or (is_of_loop and own.target != RETURN):
        return True
    return own.target == jump.target and _is_last(block, outer)


def _is_last(block: Block, outer: Block) -> bool:
    """Returns whether nothing follows a block in one around it."""
    node = block.owner
    assert not isinstance(node, Body), "the node is in another block"
    if node.block.nodes[-2] is not node:
        return False
    return node.block is outer or _is_last(node.block, outer)


def _jump_of(block: Block) -> _Jump | None:
    """Returns the jump that the source had at the end of a block, if any."""
    jump = None if ends(block) else _jump_at_end(block, {}, taken=False)
    return None if jump is not None and jump.target == BREAK and _is_condition(block) else jump


def _is_condition(block: Block) -> bool:
    """Returns whether a block is the last operand of an `and`, the condition of a `while`."""
    node = block.owner
    if isinstance(node, Body) or node.op != "if" or len(node.outputs) != 1:
        return False
    is_pure = all(effects.effect(inner) != effects.WRITE for inner in node.walk())
    return is_pure and block is node.blocks[1]


# Where the end of a block leads


def _jump_at_end(block: Block, known: _KnownValues, *, taken: bool) -> _Jump | None:
    """Returns the jump that the end of a block leads to, given known values. `taken` says whether
    an If on the way chose its first block: the second one is that of the rest."""
    owner = block.owner
    results = substitute(block.results, known)
    if isinstance(owner, Body):
        return _Jump(RETURN, results) if taken and results else None
    if owner.op == "loop":
        return _jump_of_loop(owner, results, taken=taken)
    return _jump_after(owner, results, known, taken=taken)


def _jump_of_loop(loop: Node, results: tuple[Argument, ...], *, taken: bool) -> _Jump | None:
    """Returns the jump that the end of a loop's body leads to, given its results."""
    goes_on, *carried = results
    if goes_on is True:
        return _Jump(CONTINUE, (*carried,)) if taken else None
    if goes_on is not False:
        return _Jump(_TEST, results) if taken else None
    jump = _jump_after(loop, carried, {}, taken=False)
    return jump if jump is not None and jump.target == RETURN else _Jump(BREAK, (*carried,))


def _jump_after(
    node: Node, results: Sequence[Argument], known: _KnownValues, *, taken: bool
) -> _Jump | None:
    """Returns the jump that control reaches after a node with these results."""
    known = {**known, **dict(zip(node.outputs, results, strict=True))}
    nodes = node.block.nodes
    decided = _follow(nodes[nodes.index(node) + 1 : -1], known)
    return None if decided is None else _jump_at_end(node.block, known, taken=taken or decided)


def _follow(nodes: Sequence[Node], known: _KnownValues) -> bool | None:
    """Follows Ifs with known conditions, and adds their results to `known`. Returns whether
    one of them chooses its first block; None if anything else is computed, or unknown."""
    taken = False
    for node in nodes:
        choice = substitute(node.args[0], known) if node.op == "if" else None
        if type(choice) is not bool or not _is_flag(node.args[0]):
            return None
        chosen = node.blocks[0 if choice else 1]
        inside = _follow(chosen.nodes[:-1], known)
        if inside is None:
            return None
        taken = taken or choice or inside
        known.update(zip(node.outputs, substitute(chosen.results, known), strict=True))
    return taken


def _is_flag(argument: Argument) -> bool:
    """Returns whether an argument comes from constants at the ends of blocks alone: True, False,
    and None where nothing reads it."""
    node = producer(argument)
    if node is None or node.op not in ("if", "with", "loop"):
        return type(argument) is bool or argument is None
    place = node.outputs.index(argument)
    if node.op == "loop":
        inner = node.blocks[0].inputs[1 + place]
        given = [node.args[2 + place], *(v for v in rounds(node, place) if v is not inner)]
    else:
        given = [block.results[place] for block in node.blocks if not ends(block)]
    return all(map(_is_flag, given))
