"""Loops over sequences, which the graph has as loops that count.

TorchScript takes `for x, y in zip(xs, ys)` apart: it counts up to the smaller of `len(xs)` and
`len(ys)`, and a round begins with `x = xs[i]` and `y = ys[i]`. `enumerate` stands among the lengths
as one without an end, and `range(1, n, 2)` as `len(range(1, n, 2))`, with `i * 2 + 1` for an item.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import final

from runner.graph.ir import effects
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Block, Node, Value, producer

_FOREVER = 2**63 - 1  # where TorchScript stops to count
_LARGEST_START = 2**31
_VIEWS = ("keys", "values", "items")


@final
@dataclass(frozen=True, slots=True)
class IteratedSequence:
    """A sequence that a loop walks over, and what it sets in each round: `item`, taken apart if
    there are `parts`; None when a round does not look at it."""

    over: Value
    item: Value | None
    parts: tuple[Value, ...] = ()

    @property
    def sets(self) -> tuple[Value, ...]:
        """The values that each round is given."""
        return self.parts or (() if self.item is None else (self.item,))


@final
@dataclass(frozen=True, slots=True)
class Iteration:
    """A loop over sequences, side by side. `count`, if any, is what counts the rounds, beginning
    with `start`."""

    sequences: tuple[IteratedSequence, ...]
    count: Value | None
    start: int = 0

    @property
    def over(self) -> list[Value]:
        """The sequences."""
        return [lane.over for lane in self.sequences]

    @property
    def sets(self) -> list[Value]:
        """The values that each round is given."""
        counted = [] if self.count is None else [self.count]
        return [*counted, *(value for lane in self.sequences for value in lane.sets)]


def find_iterations(function: Function) -> dict[Node, Iteration]:
    """Returns the loops of a function that iterate over sequences, and how each does."""
    loops = [node for node in function.block.walk() if node.op == "loop"]
    return {loop: iteration for loop in loops if (iteration := _iteration(loop)) is not None}


def _iteration(loop: Node) -> Iteration | None:
    """How a loop walks over sequences; None for one that counts."""
    body = loop.blocks[0]
    lengths = _lengths(loop.args[0])
    starts = [start for length in lengths if (start := _start(length)) is not None]
    measured = [node for length in lengths if (node := _measured(length)) is not None]
    if not measured or len(starts) > 1 or len(measured) + len(starts) < len(lengths):
        return None
    lanes = tuple(_lane(node, body) for node in measured)
    if any(_is_resized(lane.over, body) for lane in lanes):
        return None
    if not starts and not all(_is_range(lane.over) for lane in lanes):
        is_counter = body.inputs[0].name and all(lane.item is not body.inputs[0] for lane in lanes)
        if is_counter or not any(lane.item for lane in lanes):
            return None  # the source had a counter of its own there
    return Iteration(lanes, *_count(body, lanes, starts))


def _lengths(trips: Argument) -> Sequence[Argument]:
    """The lengths of which a loop takes the smallest."""
    node = producer(trips)
    if node is not None and node.target == "builtins:min" and type(node.args[0]) is list:
        return node.args[0]
    return [trips]


def _start(length: Argument) -> int | None:
    """Where a counter without an end begins; None for another length."""
    if type(length) is not int or length < _FOREVER - _LARGEST_START:
        return None
    return _FOREVER - length


def _measured(length: Argument) -> Node | None:
    """The node that takes the length of a value."""
    node = producer(length)
    is_len = node is not None and node.target == "builtins:len" and type(node.args[0]) is Value
    return node if is_len else None


def _is_range(value: Value) -> bool:
    return value.node is not None and value.node.target == "builtins:range"


# What an iteration takes


def _lane(measured: Node, body: Block) -> IteratedSequence:
    sequence, index = measured.args[0], body.inputs[0]
    if _is_range(sequence):
        return IteratedSequence(sequence, _stepped(sequence, index))
    taken = _taken(sequence, body)
    if taken is None:
        return IteratedSequence(sequence, None)
    over = _viewed(sequence, [measured, taken], body)
    return IteratedSequence(over, taken.output, _unpacked(taken.output, body))


def _taken(sequence: Value, body: Block) -> Node | None:
    """The node that takes the item of a round."""
    item = (sequence, body.inputs[0])
    first = _first(body)
    return next((n for n in first if n.target == "operator:getitem" and n.args == item), None)


def _unpacked(item: Value, body: Block) -> tuple[Value, ...]:
    """What an item is taken apart into, if nothing else is done with it."""
    node = next((n for n in _first(body) if n.op == "unpack" and n.args == (item,)), None)
    alone = node is not None and [*item.users] == [node] and not item.name
    return tuple(node.outputs) if node is not None and alone else ()


def _first(body: Block) -> Iterator[Node]:
    """The nodes of a round before the first that writes."""
    return takewhile(lambda node: not any(map(_writes, node.walk())), body.nodes)


def _writes(node: Node) -> bool:
    return effects.effect(node) == effects.WRITE


def _stepped(sequence: Value, index: Value) -> Value | None:
    """The item of a range."""
    made = sequence.node
    assert made is not None, "a range is made by a node"
    start, _, step = (0, *made.args, 1) if len(made.args) == 1 else (*made.args, 1)[:3]
    item: Value | None = index
    if item is not None and not _is_number(step, 1):
        item = _made_of(item, "operator:mul", step)
    if item is not None and not _is_number(start, 0):
        item = _made_of(item, "operator:add", start)
    return item


def _is_number(argument: Argument, number: int) -> bool:
    return type(argument) is int and argument == number


def _made_of(value: Value, target: str, other: Argument) -> Value | None:
    """The first value that an operator makes of a value and another argument."""
    return next(
        (n.output for n in value.users if n.target == target and n.args == (value, other)), None
    )


def _viewed(sequence: Value, users: list[Node], body: Block) -> Value:
    """What a list of a dict's keys, values or items was made of, where nobody needs the list."""
    made = sequence.node
    if sequence.name or made is None or made.target != "builtins:list":
        return sequence
    view = made.args[0]
    node = producer(view)
    if node is None or node.op != "call_method" or node.target not in _VIEWS:
        return sequence
    is_needed = {*sequence.users} != {*users} or _is_resized(node.args[0], body)
    return sequence if is_needed else view


def _count(
    body: Block, lanes: Sequence[IteratedSequence], starts: Sequence[int]
) -> tuple[Value | None, int]:
    """The value that counts the rounds, and where it begins."""
    index = body.inputs[0]
    if any(lane.item is index for lane in lanes):
        return None, 0
    if not starts or not starts[0]:
        return index, 0
    counter = _made_of(index, "operator:add", starts[0])
    taken = {lane.item for lane in lanes}
    others = [n for n in index.users if not any(v is counter or v in taken for v in n.outputs)]
    return (index, 0) if counter is None or others else (counter, starts[0])


def _is_resized(sequence: Value, body: Block) -> bool:
    """Whether a round may change how many items there are."""
    return any(
        _writes(node)
        and any(_is_same(sequence, value) for value in node.inputs)
        and not (node.target == "operator:setitem" and type(node.args[1]) is not slice)
        for node in body.walk()
    )


def _is_same(one: Value, other: Value) -> bool:
    """Whether two values are the same, or the same attribute."""
    if one is other:
        return True
    first, second = one.node, other.node
    if first is None or second is None or first.op != "get_attr" or second.op != "get_attr":
        return False
    return first.target == second.target
