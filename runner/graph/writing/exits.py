"""Returns that TorchScript took apart, put together again.

It gives a function one end: an If with a `return` in one of its blocks gives a flag and what is
returned, and a second If decides by the flag between that and the rest of the function.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from runner.graph.node import Argument, Block, Function, Node, Value, map_values

RETURN: Final = ":return"  # the target of a raise: leaves the function with a value, not an error


def with_returns(function: Function) -> Function:
    """A copy of a function that returns where the source did; itself where that changes nothing."""
    if not any(_decision(block) for block in _tails(function.block)):
        return function
    copy = function.clone()
    for block in _tails(copy.block):
        while (node := _decision(block)) is not None:
            _resolve(block, node)
    return copy


def _tails(block: Block) -> Iterator[Block]:
    """The blocks whose only result is what the function returns."""
    if len(block.results) != 1:
        return
    yield block
    node = _last_if(block, block.results[0])
    if node is not None and _is_returned(node):
        for inner in node.blocks:
            yield from _tails(inner)


def _last_if(block: Block, value: Argument) -> Node | None:
    """The If at the end of a block, if it gives a value."""
    node = value.node if type(value) is Value else None
    return node if node in block.nodes[-2:] and node is not None and node.op == "if" else None


def _is_returned(node: Node) -> bool:
    """Whether what a node gives is only the result of its block."""
    return len(node.outputs) == 1 and node.users == [node.block.end]


def _decision(block: Block) -> Node | None:
    """The If at the end that decides by the flag of the one before what the function returns."""
    node = _last_if(block, block.results[0])
    flag = node.args[0] if node is not None else None
    if node is None or type(flag) is not Value or flag.node not in block.nodes[-3:-2]:
        return None
    alone = [*flag.users] == [node] and _is_returned(node)
    given = len(node.blocks[0].nodes) == 1
    return node if alone and given and _is_fixed(flag) else None


def _is_fixed(flag: Value) -> bool:
    """Whether each block of an If says itself which flag it gives, or an If at its end does."""
    node = flag.node
    if node is None or node.op != "if":
        return False
    given = [(block, block.results[node.outputs.index(flag)]) for block in node.blocks]
    return all(
        type(result) is bool or (_last_if(block, result) is not None and _is_fixed(result))
        for block, result in given
    )


def _resolve(block: Block, node: Node) -> None:
    """Return where the flag is set, and go on with the rest behind that."""
    then, rest = node.blocks
    _return(node.args[0], then.results[0])
    block.nodes.remove(node)
    for inner in rest.nodes[:-1]:
        inner.block = block
    block.nodes[-1:-1] = rest.nodes[:-1]
    block.results = rest.results
    node.args, then.results, rest.results = (), (), ()


def _return(flag: Value, returned: Argument) -> None:
    """Return something in all blocks of an If in which the flag that it gives is True."""
    node = flag.node
    assert node is not None, "a flag is given by an If"
    for block in node.blocks:
        given = dict(zip(node.outputs, block.results, strict=True))
        inside = _put(returned, given)
        if type(given[flag]) is Value:
            _return(given[flag], inside)
        elif given[flag]:
            block.nodes.insert(len(block.nodes) - 1, Node(block, "raise", RETURN, (inside,)))


def _put(argument: Argument, others: Mapping[Value, Argument]) -> Argument:
    """An argument with others in the place of some values."""
    return map_values(argument, lambda value: others.get(value, value))
