"""Dead-code elimination: computes what the result and the side effects of a function depend on.

`LiveCode` marks the live nodes and values of a function, through conditions and loops; code
generation and interpretation skip the rest. `eliminate_dead_code` erases unused nodes.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, final

from runner.graph.ir.effects import WRITE, effect
from runner.graph.ir.function import Function
from runner.graph.ir.jumps import BREAK, CONTINUE, ends, is_jump, jumps, loop_of
from runner.graph.ir.node import Argument, Block, Body, Node, Value, values_in


def eliminate_dead_code(block: Block) -> None:
    """Erases the nodes of a block, and of those inside, that have no effect and whose outputs are
    unused. Control flow stays."""
    for node in reversed(block.nodes[:-1]):
        for inner in node.blocks:
            eliminate_dead_code(inner)
        if node.outputs and not node.users and not node.blocks and effect(node) != WRITE:
            node.erase()


class LoopHead(Protocol):
    """The head of a loop that iterates over sequences instead of counting."""

    @property
    def over(self) -> Sequence[Value]:
        """The sequences, in place of the trip count."""

    @property
    def sets(self) -> Sequence[Value]:
        """The values that the head sets in each iteration."""


@final
class LiveCode:
    """The live part of a function: `nodes` that have to run, and `values` that these use.

    Roots are the function's result and all nodes that write. A carried value, or an output of a
    condition, is live only if something live reads it, so that a cycle through a loop is not kept
    alive by itself. `heads` are the loops over sequences, whose trip counts are dead.
    """

    def __init__(self, function: Function, heads: Mapping[Node, LoopHead]) -> None:
        self.nodes: set[Node] = set()
        self.values: set[Value] = set()
        self._heads = heads
        self._loops = {value: loop for loop, head in heads.items() for value in head.sets}
        self._ends: dict[Block, bool] = {}
        self._mark(function.block)

    # The live part of a node

    def ends(self, block: Block) -> bool:
        """Returns whether every path through a block exits it early."""
        known = self._ends.get(block)
        if known is None:
            known = self._ends[block] = ends(block)
        return known

    def results(self, block: Block) -> list[tuple[Value, Argument]]:
        """Returns what the end of a block assigns: live outputs of its node (live carried values of
        its loop), each with its new value."""
        node = block.owner
        if isinstance(node, Body) or self.ends(block):
            return []
        if node.op == "loop":
            again = block.results[1:]
            values = zip(block.inputs[1:], node.outputs, again, strict=True)
            return [(inner, result) for inner, outer, result in values
                    if inner in self.values or outer in self.values]  # fmt: skip
        both = zip(node.outputs, block.results, strict=True)
        return [(value, result) for value, result in both if value in self.values]

    def jump_results(self, jump: Node) -> list[tuple[Value, Argument]]:
        """Returns what a break or continue assigns: values that its loop carries, of a break those
        that are live after the loop, each with its new value."""
        loop = loop_of(jump)
        carried = zip(loop.blocks[0].inputs[1:], loop.outputs, jump.args, strict=True)
        return [
            (inner, given)
            for inner, outer, given in carried
            if outer in self.values or (inner in self.values and jump.target == CONTINUE)
        ]

    def carried(self, loop: Node) -> list[tuple[Value, Value, Argument]]:
        """Returns (value inside, value after, initial value) of all live values a loop carries."""
        values = zip(loop.blocks[0].inputs[1:], loop.outputs, loop.args[2:], strict=True)
        return [each for each in values if each[0] in self.values or each[1] in self.values]

    def head(self, loop: Node) -> list[Argument]:
        """Returns what a loop evaluates before its first iteration, besides initial values: the
        condition, which decides whether the rest is evaluated, then trip count or sequences."""
        head = self._heads.get(loop)
        return [loop.args[1], loop.args[0] if head is None else (*head.over,)]

    def set_by_head(self, loop: Node) -> list[Value]:
        """Returns the live values that the head of a loop sets in each iteration."""
        head = self._heads.get(loop)
        values = loop.blocks[0].inputs[:1] if head is None else head.sets
        return [value for value in values if value in self.values]

    # Marking

    def _mark(self, block: Block) -> None:
        values = [] if self.ends(block) else [*values_in(block.results)]
        for node in block.walk():
            if node.op != "output" and effect(node) == WRITE:
                values += self._use(node)
        while values:
            value = values.pop()
            if value not in self.values:
                self.values.add(value)
                values += self._sources(value)

    def _use(self, node: Node) -> list[Value]:
        """Marks a node and the nodes around it; returns the values that they need in any case."""
        values: list[Value] = []
        while node not in self.nodes:
            self.nodes.add(node)
            if node.op == "loop":
                values += values_in(self.head(node))
                values += values_in(node.blocks[0].results[:1])
            elif not is_jump(node):
                values += values_in((node.args, {**node.kwargs}))
            if isinstance(node.block.owner, Body):
                break
            node = node.block.owner
        return values

    def _sources(self, value: Value) -> list[Value]:
        """Returns the values that a live value depends on; marks the nodes that compute it."""
        if value in self._loops:
            return self._use(self._loops[value])
        if isinstance(value.owner, Block):
            node = value.owner.owner
            if isinstance(node, Body):
                return []
            place = value.owner.inputs.index(value) - 1
            return self._use(node) + (_carried(node, place, CONTINUE) if place >= 0 else [])
        node = value.owner
        values = self._use(node)
        if node.op == "loop":
            return values + _carried(node, node.outputs.index(value), BREAK, CONTINUE)
        for block in node.blocks:
            if not self.ends(block):
                values += values_in(block.results[node.outputs.index(value)])
        return values


def _carried(loop: Node, place: int, *targets: str) -> list[Value]:
    """Returns what a carried value depends on: its initial value, its value after each iteration,
    and what jumps to the given targets assign."""
    given = [jump.args[place] for jump in jumps(loop) if jump.target in targets]
    return [*values_in([loop.args[2 + place], loop.blocks[0].results[1 + place], *given])]
