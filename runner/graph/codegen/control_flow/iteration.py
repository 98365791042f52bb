"""Iteration: recovers loops over sequences from loops that count.

TorchScript lowers `for x, y in zip(xs, ys)` to a loop that counts up to the smaller of `len(xs)`
and `len(ys)`, and begins with `x = xs[i]` and `y = ys[i]`. `enumerate` becomes an infinite length,
and `range(1, n, 2)` the length `len(range(1, n, 2))`, with `i * 2 + 1` as the item. A loop over
anything else takes items from a list of it, made before the loop.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import final

from runner.graph.ir import effects
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Block, Node, Value, is_int, producer, values_in
from runner.nested import leaves

_FOREVER = 2**63 - 1  # the length of an infinite sequence
_LARGEST_START = 2**31
_VIEWS = ("keys", "values", "items")
# Iterators that read their arguments only when an item is taken.
_LAZY = ("zip", "enumerate", "reversed", "map", "filter", "iter")
_Parts = tuple["Value | _Parts", ...]  # of a value that is unpacked, at any depth


@final
@dataclass(frozen=True, slots=True)
class IteratedSequence:
    """A sequence that a loop iterates over. `item` is the value set in each iteration, None if it
    is unused; it is unpacked into `parts` if there are any."""

    over: Value
    item: Value | None
    parts: _Parts = ()

    @property
    def sets(self) -> Sequence[Value]:
        """The values that are set in each iteration."""
        return leaves(self.parts) or ([] if self.item is None else [self.item])


@final
@dataclass(frozen=True, slots=True)
class Iteration:
    """A loop over sequences in parallel. `count`, if any, is the value that counts the iterations
    from `start`."""

    sequences: tuple[IteratedSequence, ...]
    count: Value | None
    start: int = 0

    @property
    def over(self) -> list[Value]:
        """The sequences."""
        return [each.over for each in self.sequences]

    @property
    def sets(self) -> list[Value]:
        """The values that are set in each iteration."""
        counted = [] if self.count is None else [self.count]
        return [*counted, *(value for each in self.sequences for value in each.sets)]


def find_iterations(function: Function) -> dict[Node, Iteration]:
    """Returns the loops of a function that iterate over sequences, and how each does."""
    loops = [node for node in function.block.walk() if node.op == "loop"]
    return {loop: iteration for loop in loops if (iteration := _iteration(loop)) is not None}


def _iteration(loop: Node) -> Iteration | None:
    """Returns how a loop iterates over sequences; None for one that counts."""
    body = loop.blocks[0]
    lengths = _lengths(loop.args[0])
    starts = [start for length in lengths if (start := _start(length)) is not None]
    measured = [node for length in lengths if (node := _measured(length)) is not None]
    if not measured or len(starts) > 1 or len(measured) + len(starts) < len(lengths):
        return None
    sequences = tuple(_iterated(node, body) for node in measured)
    if any(_is_resized(each.over, body) for each in sequences):
        return None
    if not starts and not all(_is_range(each.over) for each in sequences):
        index = body.inputs[0]
        is_counter = index.name and all(each.item is not index for each in sequences)
        overs = [node.args[0] for node in measured]
        if is_counter or not any(e.item or e.over not in overs for e in sequences):
            return None  # the source had a counter of its own there
    return Iteration(sequences, *_count(body, sequences, starts))


def _lengths(trips: Argument) -> Sequence[Argument]:
    """Returns the lengths whose minimum is the trip count of a loop."""
    node = producer(trips)
    if node is not None and node.target == "builtins:min" and type(node.args[0]) is list:
        return node.args[0]
    return [trips]


def _start(length: Argument) -> int | None:
    """Returns where an infinite counter starts; None for any other length."""
    if type(length) is not int or length < _FOREVER - _LARGEST_START:
        return None
    return _FOREVER - length


def _measured(length: Argument) -> Node | None:
    """Returns the node that takes the length of a value, if a length is computed by one."""
    node = producer(length)
    is_len = node is not None and node.target == "builtins:len" and type(node.args[0]) is Value
    return node if is_len else None


def _is_range(value: Value) -> bool:
    return value.node is not None and value.node.target == "builtins:range"


# Items


def _iterated(measured: Node, body: Block) -> IteratedSequence:
    sequence, index = measured.args[0], body.inputs[0]
    if _is_range(sequence):
        return IteratedSequence(sequence, _range_item(sequence, index))
    taken = _item_node(sequence, body)
    if taken is None:
        return IteratedSequence(_without_list(sequence, [measured], body), None)
    over = _without_list(sequence, [measured, taken], body)
    return IteratedSequence(over, taken.output, _unpacked(taken.output, body))


def _item_node(sequence: Value, body: Block) -> Node | None:
    """Returns the node that takes the item of an iteration from a sequence."""
    item = (sequence, body.inputs[0])
    first = _before_writes(body)
    return next((n for n in first if n.target == "operator:getitem" and n.args == item), None)


def _unpacked(item: Value, body: Block) -> _Parts:
    """Returns the values that an item is unpacked into, if that is its only use; the same holds for
    each of these."""
    node = next((n for n in _before_writes(body) if n.op == "unpack" and n.args == (item,)), None)
    alone = node is not None and [*item.users] == [node] and not item.name
    if node is None or not alone:
        return ()
    return tuple(_unpacked(value, body) or value for value in node.outputs)


def _before_writes(body: Block) -> Iterator[Node]:
    """Yields the nodes of a body before the first one that writes."""
    return takewhile(lambda node: not any(map(_writes, node.walk())), body.nodes)


def _writes(node: Node) -> bool:
    return effects.effect(node) == effects.WRITE


def _range_item(sequence: Value, index: Value) -> Value | None:
    """Returns the item of a range, computed from the index of the loop."""
    made = sequence.node
    assert made is not None, "a node makes the range"
    start, _, step = (0, *made.args, 1) if len(made.args) == 1 else (*made.args, 1)[:3]
    item: Value | None = index
    if item is not None and not is_int(step, 1):
        item = _computed(item, "operator:mul", step)
    if item is not None and not is_int(start, 0):
        item = _computed(item, "operator:add", start)
    return item


def _computed(value: Value, target: str, other: Argument) -> Value | None:
    """Returns the first value that an operator computes from a value and another argument."""
    return next(
        (n.output for n in value.users if n.target == target and n.args == (value, other)), None
    )


def _without_list(sequence: Value, users: list[Node], body: Block) -> Value:
    """Returns what a list is made of in place of the list, if nothing else needs the list, and the
    body changes nothing that it is made of."""
    made = sequence.node
    if sequence.name or made is None or made.target != "builtins:list" or len(made.args) != 1:
        return sequence
    (given,) = made.args
    if type(given) is not Value or {*sequence.users} != {*users}:
        return sequence
    node = given.node
    if node is not None and node.op == "call_method" and node.target in _VIEWS:
        is_needed = _is_resized(node.args[0], body)  # items may be set
    else:
        is_needed = any(_is_written(value, body) for value in _read_later(given))
    return sequence if is_needed else given


def _read_later(value: Value) -> Iterator[Value]:
    """Yields the values that taking items from a value reads."""
    yield value
    node = value.node
    if node is not None and node.target in [f"builtins:{name}" for name in _LAZY]:
        for argument in values_in(node.args):
            yield from _read_later(argument)


def _count(
    body: Block, sequences: Sequence[IteratedSequence], starts: Sequence[int]
) -> tuple[Value | None, int]:
    """Returns the value that counts iterations, and where it starts."""
    index = body.inputs[0]
    if any(each.item is index for each in sequences):
        return None, 0
    if not starts or not starts[0]:
        return index, 0
    counter = _computed(index, "operator:add", starts[0])
    taken = {each.item for each in sequences}
    others = [n for n in index.users if not any(v is counter or v in taken for v in n.outputs)]
    return (index, 0) if counter is None or others else (counter, starts[0])


def _is_resized(sequence: Value, body: Block) -> bool:
    """Returns whether the body may change the length of a sequence."""
    return any(
        not (node.target == "operator:setitem" and type(node.args[1]) is not slice)
        for node in _writers(sequence, body)
    )


def _is_written(value: Value, body: Block) -> bool:
    """Returns whether the body may change a value, except for the item that it has taken."""
    return any(
        not (node.target == "operator:setitem" and node.args[1] is body.inputs[0])
        for node in _writers(value, body)
    )


def _writers(value: Value, body: Block) -> Iterator[Node]:
    """Yields the nodes of a body that may change a value."""
    for node in body.walk():
        if _writes(node) and any(_is_same(value, other) for other in node.inputs):
            yield node


def _is_same(one: Value, other: Value) -> bool:
    """Returns whether two values are identical, or the same attribute."""
    if one is other:
        return True
    first, second = one.node, other.node
    if first is None or second is None or first.op != "get_attr" or second.op != "get_attr":
        return False
    return first.target == second.target
