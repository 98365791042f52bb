"""Breaks, continues and returns that TorchScript took apart, put together again.

It gives each block one end. An If with a `return` in one of its blocks gives a flag and what is
returned, and a second If decides by the flag between that and the rest; so does one with a `break`
or `continue`, and the flag decides in the end whether the loop goes on. A loop with a `return`
carries the flag, and an If decides behind it. Hence the end of a block is followed through what is
decided there: where that leads around a loop, behind it or out of the function, and nothing is
computed on the way, the source had left the block.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from runner.graph.codegen.control_flow.jump_threading import put
from runner.graph.ir import effects
from runner.graph.ir.jumps import BREAK, CONTINUE, RETURN, ends, rounds
from runner.graph.ir.node import Argument, Block, Body, Node, Value, producer

_TEST: Final = ":test"  # a continue of a loop whose condition the block itself evaluates

_KnownValues = dict[Value, Argument]


class _Exit(NamedTuple):
    """A way out of a block: what a `raise` needs to take it."""

    target: str
    args: tuple[Argument, ...]


def place_exits(block: Block, *, tests: bool) -> bool:
    """Leave the blocks below where their ends lead out; says whether there are any. `tests` says
    whether a loop may be left and continued after a test, which is the last resort."""
    found = False
    for inner in [inner for node in block.nodes for inner in node.blocks]:
        found |= _leave(inner, together=True, tests=tests)
        found |= place_exits(inner, tests=tests)
        found |= _leave(inner, together=False, tests=tests)
    return found


def _leave(block: Block, *, together: bool, tests: bool) -> bool:
    """Leave a block if its end leads out; says whether it does. `together` only if all ways
    through the block come to that end."""
    way = _way(block)
    if (
        way is None
        or (way.target == _TEST and not tests)
        or (together and not all(_joins(b, block, way) for b in _parts(block)))
    ):
        return False
    _take(block, way)
    block.results = tuple(None for _ in block.results)
    return True


def _take(block: Block, way: _Exit) -> None:
    """Take a way out at the end of a block."""
    if way.target == _TEST:
        goes_on, *carried = way.args
        test = Node(block, "if", "", (goes_on,))
        block.nodes.insert(len(block.nodes) - 1, test)
        test.add_block()
        _take(test.add_block(), _Exit(BREAK, (*carried,)))
        way = _Exit(CONTINUE, (*carried,))
    block.nodes.insert(len(block.nodes) - 1, Node(block, "raise", *way))


def _parts(block: Block, *, again: bool = False) -> Iterator[tuple[Block, bool]]:
    """The blocks below one, and whether they belong to a loop below it."""
    for node in block.nodes:
        for inner in node.blocks:
            inside = again or node.op == "loop"
            yield inner, inside
            yield from _parts(inner, again=inside)


def _joins(part: tuple[Block, bool], outer: Block, way: _Exit) -> bool:
    """Whether the end of a block leads nowhere else than that of a block around it, and there
    without leaving anything out."""
    block, is_of_loop = part
    own = _way(block)
    if own is None or (is_of_loop and own.target != RETURN):
        return True
    return own.target == way.target and _is_last(block, outer)


def _is_last(block: Block, outer: Block) -> bool:
    """Whether nothing is behind a block in one around it."""
    node = block.owner
    assert not isinstance(node, Body), "another block is around it"
    if node.block.nodes[-2] is not node:
        return False
    return node.block is outer or _is_last(node.block, outer)


def _way(block: Block) -> _Exit | None:
    """The way out at the end of a block, if the source had taken it there."""
    way = None if ends(block) else _end(block, {}, taken=False)
    return None if way is not None and way.target == BREAK and _is_condition(block) else way


def _is_condition(block: Block) -> bool:
    """Whether a block is the last part of an `and`, which `while` has for a condition."""
    node = block.owner
    if isinstance(node, Body) or node.op != "if" or len(node.outputs) != 1:
        return False
    is_pure = all(effects.effect(inner) != effects.WRITE for inner in node.walk())
    return is_pure and block is node.blocks[1]


# Where the end of a block leads


def _end(block: Block, known: _KnownValues, *, taken: bool) -> _Exit | None:
    """The way out at the end of a block, from what values are known to be there. `taken` says
    whether an If on the way decided for its first block: the second one is that of the rest."""
    owner = block.owner
    results = put(block.results, known)
    if isinstance(owner, Body):
        return _Exit(RETURN, results) if taken and results else None
    if owner.op == "loop":
        return _round(owner, results, taken=taken)
    return _behind(owner, results, known, taken=taken)


def _round(loop: Node, results: tuple[Argument, ...], *, taken: bool) -> _Exit | None:
    """The way out at the end of a round that gives these results."""
    goes_on, *carried = results
    if goes_on is True:
        return _Exit(CONTINUE, (*carried,)) if taken else None
    if goes_on is not False:
        return _Exit(_TEST, results) if taken else None
    way = _behind(loop, carried, {}, taken=False)
    return way if way is not None and way.target == RETURN else _Exit(BREAK, (*carried,))


def _behind(
    node: Node, results: Sequence[Argument], known: _KnownValues, *, taken: bool
) -> _Exit | None:
    """The way out behind a node that gives these results."""
    known = {**known, **dict(zip(node.outputs, results, strict=True))}
    nodes = node.block.nodes
    decided = _follow(nodes[nodes.index(node) + 1 : -1], known)
    return None if decided is None else _end(node.block, known, taken=taken or decided)


def _follow(nodes: Sequence[Node], known: _KnownValues) -> bool | None:
    """Whether one of some Ifs decides for its first block; adds what they give to what is known.
    None where something else is done, or is not known."""
    taken = False
    for node in nodes:
        choice = put(node.args[0], known) if node.op == "if" else None
        if type(choice) is not bool or not _is_flag(node.args[0]):
            return None
        chosen = node.blocks[0 if choice else 1]
        inside = _follow(chosen.nodes[:-1], known)
        if inside is None:
            return None
        taken = taken or choice or inside
        known.update(zip(node.outputs, put(chosen.results, known), strict=True))
    return taken


def _is_flag(argument: Argument) -> bool:
    """Whether an argument is True or False by constants at the ends of blocks alone; None stands
    where nobody will ask."""
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
