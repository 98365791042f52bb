"""Loops that count up to a limit, which TorchScript writes as loops that test a counter.

It has no `break`: `for i in range(n)` with one becomes a loop without a trip count that carries the
counter itself, and goes on while the counter is below `n` and no `break` was reached.
"""

from typing import Final

from runner.graph.ir.node import Argument, Block, Body, Node, Value, is_int, producer

_LESS: Final = "operator:lt"
_MORE: Final = "operator:gt"


def recover_trip_count(loop: Node) -> bool:
    """Sets the trip count of a loop that tests a counter; returns whether it is one."""
    body, (trips, first, *_) = loop.blocks[0], loop.args
    both = _operator(body.results[0], body, "operator:and_")
    test = _operator(both.args[0], body, _LESS) if both is not None else None
    step = _operator(test.args[0], body, "operator:add") if test is not None else None
    if trips is not None or both is None or test is None or step is None:
        return False
    limit = test.args[1]
    place = _counter_place(loop, step)
    if place is None or not (_is_entry_test(first, limit) and _is_outside(limit, body)):
        return False
    results = body.results
    body.results = (both.args[1], *results[1 : 1 + place], *results[2 + place :])
    loop.args = (limit, True, *loop.args[2 : 2 + place], *loop.args[3 + place :])
    _drop_counter(loop, place)
    for node in (both, test, step):
        node.erase()
    return True


def _operator(argument: Argument, body: Block, target: str) -> Node | None:
    """Returns the node of a body that computes an argument with an operator, for one user."""
    node = producer(argument)
    if node is None or node.block is not body or node.target != target or len(node.args) != 2:
        return None
    users = [user for user in node.users if user.op != "output"]
    return node if len(node.users) == 1 or (len(users) == 1 and target == "operator:add") else None


def _counter_place(loop: Node, step: Node) -> int | None:
    """Returns the place among carried values of the counter that `step` increments from 0."""
    body = loop.blocks[0]
    counter = step.args[0]
    if type(counter) is not Value or counter not in body.inputs[1:] or not is_int(step.args[1], 1):
        return None
    place = body.inputs.index(counter) - 1
    is_counter = body.results[1 + place] is step.output and is_int(loop.args[2 + place], 0)
    is_hidden = not (step.output.name or loop.outputs[place].users)
    return place if is_counter and is_hidden else None


def _is_entry_test(first: Argument, limit: Argument) -> bool:
    """Returns whether the first condition of a loop is that 0 is below its limit."""
    if type(limit) is int:
        return first is True and limit > 0
    node = producer(first)
    if node is None or type(limit) is not Value:
        return False
    zero, other = node.args if node.target == _LESS else node.args[::-1]
    return node.target in (_LESS, _MORE) and is_int(zero, 0) and other is limit


def _is_outside(limit: Argument, body: Block) -> bool:
    """Returns whether an argument is defined before a loop."""
    if type(limit) is not Value:
        return True
    block = limit.node.block if limit.node is not None else limit.owner
    while block is not body and not isinstance(block.owner, Body):
        block = block.owner.block
    return block is not body


def _drop_counter(loop: Node, place: int) -> None:
    """Replaces a carried counter by the index of the loop."""
    body = loop.blocks[0]
    counter, index = body.inputs[1 + place], body.inputs[0]
    index.name = index.name or counter.name
    counter.replace_all_uses_with(index)
    del body.inputs[1 + place], loop.outputs[place]
