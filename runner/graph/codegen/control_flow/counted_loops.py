"""Loops that count up to a number, which TorchScript writes as loops that test a counter.

It has no `break`: `for i in range(n)` with one becomes a loop without a number of rounds, which
carries the counter itself, and goes on while the counter is below `n` and nothing left the loop.
"""

from typing import Final

from runner.graph.ir.node import Argument, Block, Body, Node, Value, producer

_LESS: Final = "operator:lt"
_MORE: Final = "operator:gt"


def recover_trip_count(loop: Node) -> bool:
    """Give a loop that tests a counter its number of rounds; says whether it is one."""
    body, (trips, first, *_) = loop.blocks[0], loop.args
    both = _made(body.results[0], body, "operator:and_")
    test = _made(both.args[0], body, _LESS) if both is not None else None
    step = _made(test.args[0], body, "operator:add") if test is not None else None
    if trips is not None or both is None or test is None or step is None:
        return False
    limit = test.args[1]
    place = _counted(loop, step)
    if place is None or not (_is_tested(first, limit) and _is_outside(limit, body)):
        return False
    results = body.results
    body.results = (both.args[1], *results[1 : 1 + place], *results[2 + place :])
    loop.args = (limit, True, *loop.args[2 : 2 + place], *loop.args[3 + place :])
    _drop(loop, place)
    for node in (both, test, step):
        node.args = ()
        body.nodes.remove(node)
    return True


def _made(argument: Argument, body: Block, target: str) -> Node | None:
    """The nameless node of a body that makes an argument for one user with an operator."""
    node = producer(argument)
    if node is None or node.block is not body or node.target != target or len(node.args) != 2:
        return None
    users = [user for user in node.users if user.op != "output"]
    return node if len(node.users) == 1 or (len(users) == 1 and target == "operator:add") else None


def _counted(loop: Node, step: Node) -> int | None:
    """The place of a counter among what a loop carries, if a node counts it from 0."""
    body = loop.blocks[0]
    counter = step.args[0]
    if type(counter) is not Value or counter not in body.inputs[1:] or not _is(step.args[1], 1):
        return None
    place = body.inputs.index(counter) - 1
    is_counter = body.results[1 + place] is step.output and _is(loop.args[2 + place], 0)
    is_hidden = not (step.output.name or loop.outputs[place].users)
    return place if is_counter and is_hidden else None


def _is(argument: Argument, number: int) -> bool:
    return type(argument) is int and argument == number


def _is_tested(first: Argument, limit: Argument) -> bool:
    """Whether a loop is entered just if 0 is below its limit."""
    if type(limit) is int:
        return first is True and limit > 0
    node = producer(first)
    if node is None or type(limit) is not Value:
        return False
    zero, other = node.args if node.target == _LESS else node.args[::-1]
    return node.target in (_LESS, _MORE) and _is(zero, 0) and other is limit


def _is_outside(limit: Argument, body: Block) -> bool:
    """Whether an argument is there before a loop."""
    if type(limit) is not Value:
        return True
    block = limit.node.block if limit.node is not None else limit.owner
    while block is not body and not isinstance(block.owner, Body):
        block = block.owner.block
    return block is not body


def _drop(loop: Node, place: int) -> None:
    """Carry a counter no more: the index of the loop stands for it."""
    body = loop.blocks[0]
    counter, index = body.inputs[1 + place], body.inputs[0]
    index.name = index.name or counter.name
    counter.replace_all_uses_with(index)
    del body.inputs[1 + place], loop.outputs[place]
