"""Module runs: equal consecutive parts of a block, each calling the next child of a container.

Front ends unroll `for layer in self.layers: x = layer(x)`. What the loop did in one iteration is a
segment of nodes. Segments are equal but for the child, the values that one passes on to the next,
and numbers that count them.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, final

from runner.graph.codegen.expressions.expression_trees import key_of
from runner.graph.ir.containers import IteratedContainer
from runner.graph.ir.effects import WRITE, of_method
from runner.graph.ir.jumps import is_jump, loop_of
from runner.graph.ir.node import Argument, Block, Node, Value
from runner.nested import leaves

INSIDE: Final = "inside"  # a value that the segment computes
BEFORE: Final = "before"  # a value that the segment before computes
OTHER: Final = "other"  # a constant, or a value that is computed before the run
PATH: Final = "path"
FORM: Final = "form"  # of a node
_Slot = tuple[str, Any]


@final
class Segments:
    """Consecutive segments of a block: as many as a container has children, from the node at
    `start`, `size` nodes each. `is_run` says whether they are equal, as described above."""

    def __init__(
        self,
        block: Block,
        start: int,
        size: int,
        containers: Mapping[str, IteratedContainer],
        anchor: IteratedContainer,
    ) -> None:
        count = len(anchor.names)
        self.parts = [
            block.nodes[at : at + size] for at in range(start, start + count * size, size)
        ]
        self.containers: dict[str, IteratedContainer] = {}  # that are iterated over, in order
        self._known = containers
        self._places = {n: i for i, part in enumerate(self.parts) for each in part
                        for n in each.walk()}  # fmt: skip
        self._defined = [[*_defined(part)] for part in self.parts]
        self._orders = [{v: j for j, v in enumerate(values)} for values in self._defined]

    @cached_property
    def slots(self) -> list[list[_Slot]]:
        """What each segment consists of, in order."""
        return [[*self._slots_of(i, part)] for i, part in enumerate(self.parts)]

    @cached_property
    def is_run(self) -> bool:
        """Whether a loop does the same."""
        if any(map(self._leads_out, self._places)):
            return False
        if len({len(slots) for slots in self.slots}) != 1:
            return False
        return all(map(self._is_alike, zip(*self.slots, strict=True))) and self._is_closed()

    def _leads_out(self, node: Node) -> bool:
        """Returns whether a node cannot be in a loop, or not be a call of a method of a value."""
        if is_jump(node) and loop_of(node) not in self._places:
            return True
        method = node.target.partition(":")[2] if node.op == "call_module" else ""
        return bool(method) and of_method(method) != WRITE

    def _slots_of(self, i: int, part: Sequence[Node]) -> Iterator[_Slot]:
        for node in (inner for each in part for inner in each.walk()):
            yield FORM, _form(node)
            if node.op in ("call_module", "get_attr"):
                yield PATH, tuple(node.path.split("."))
            for leaf in leaves((node.args, {**node.kwargs})):
                if type(leaf) is Value and leaf in self._orders[i]:
                    yield INSIDE, self._orders[i][leaf]
                elif type(leaf) is Value and i and leaf in self._orders[i - 1]:
                    yield BEFORE, self._orders[i - 1][leaf]
                else:
                    yield OTHER, leaf

    def _is_alike(self, slots: tuple[_Slot, ...]) -> bool:
        """Returns whether all segments have the same in one place, or what a loop can change."""
        (first, value), later = slots[0], slots[1]
        if first == PATH:
            return self._is_alike_path([path for _, path in slots])
        if later[0] == BEFORE:
            is_first = first == OTHER and self._is_outside(value)
            return is_first and all(slot == later for slot in slots[1:])
        if first != OTHER:
            return all(slot == slots[0] for slot in slots)
        if not all(kind == OTHER for kind, _ in slots) or not self._is_outside(value):
            return False
        return counts([leaf for _, leaf in slots]) or all(
            leaf is value if type(value) is Value else key_of(leaf) == key_of(value)
            for _, leaf in slots
        )

    def _is_outside(self, leaf: Argument) -> bool:
        """Returns whether an argument is a constant, or computed before the run."""
        return type(leaf) is not Value or not any(leaf in order for order in self._orders)

    def _is_alike_path(self, paths: Sequence[tuple[str, ...]]) -> bool:
        """Returns whether paths are equal, or differ in one step: the child of a container."""
        if all(path == paths[0] for path in paths):
            return True
        if len({len(path) for path in paths}) > 1:
            return False
        depths = [d for d, names in enumerate(zip(*paths, strict=True)) if len({*names}) > 1]
        container = self._known.get(".".join(paths[0][: depths[0]]))
        if len(depths) > 1 or container is None:
            return False
        if container.names != tuple(path[depths[0]] for path in paths):
            return False
        inner = ".".join(paths[0][depths[0] + 1 :])
        self.containers[container.path] = container
        return not inner or inner in dict(container.inner)

    def _is_closed(self) -> bool:
        """Returns whether nothing else uses what the segments compute, but for the values that the
        last one would pass on to the next."""
        carried = {value for kind, value in self.slots[1] if kind == BEFORE}
        last = len(self.parts) - 1
        for i, values in enumerate(self._defined):
            for j, value in enumerate(values):
                elsewhere = {self._places.get(user) for user in value.users} - {i, i + 1}
                if elsewhere and (i < last or j not in carried):
                    return False
        return True

    @property
    def carried(self) -> list[tuple[int, Argument]]:
        """The values that each segment passes on to the next, by number, each with what the first
        one takes instead."""
        found: dict[Any, tuple[int, Argument]] = {}
        for (_, first), (kind, value) in zip(self.slots[0], self.slots[1], strict=True):
            if kind == BEFORE:
                found.setdefault((value, key_of(first)), (value, first))
        return [*found.values()]

    def value(self, i: int, number: int) -> Value:
        """Returns one of the values that a segment computes."""
        return self._defined[i][number]


def counts(constants: Sequence[Argument]) -> bool:
    """Returns whether constants are numbers that count the segments."""
    return all(type(one) is int for one in constants) and all(
        after - one == 1 for one, after in pairwise(constants)
    )


def _defined(part: Sequence[Node]) -> Iterator[Value]:
    for node in (inner for each in part for inner in each.walk()):
        for block in node.blocks:
            yield from block.inputs
        yield from node.outputs


def _form(node: Node) -> tuple[object, ...]:
    """Returns what two equal nodes have in common besides paths and arguments."""
    has_path = node.op in ("call_module", "get_attr")
    target = node.target.partition(":")[1:] if has_path else node.target
    names = [value.name for value in node.outputs]
    inputs = [[value.name for value in block.inputs] for block in node.blocks]
    return node.op, target, names, inputs, _shape((node.args, {**node.kwargs}))


def _shape(argument: Argument) -> object:
    """Returns the containers of an argument without their leaves."""
    kind = type(argument)
    if kind is tuple or kind is list:
        return kind, [_shape(item) for item in argument]
    if kind is dict:
        return kind, [_shape(item) for pair in argument.items() for item in pair]
    return kind if kind is slice else None


def find_run(
    block: Block, anchor: IteratedContainer, containers: Mapping[str, IteratedContainer]
) -> Segments | None:
    """Returns the first run of a block, one segment for each child of a container. Of those that
    are shifted against each other, it is one that passes on as few values as possible."""
    places = [[*_places(block, anchor, name)] for name in anchor.names[:2]]
    for first in places[0]:
        second = next((place for place in places[1] if place > first), None)
        size = 0 if second is None else second - first
        starts = range(first, max(first - size, -1), -1)
        runs = [Segments(block, start, size, containers, anchor) for start in starts
                if start + size * len(anchor.names) < len(block.nodes)]  # fmt: skip
        found = [run for run in runs if run.is_run and anchor.path in run.containers]
        if found:
            return min(found, key=lambda run: len(run.carried))
    return None


def _places(block: Block, container: IteratedContainer, name: str) -> Iterator[int]:
    """Yields the places of the nodes of a block that mention a child of a container."""
    child = f"{container.path}.{name}".removeprefix(".")
    for place, node in enumerate(block.nodes):
        for inner in node.walk():
            if inner.op in ("call_module", "get_attr") and (
                inner.path == child or inner.path.startswith(f"{child}.")
            ):
                yield place
                break
