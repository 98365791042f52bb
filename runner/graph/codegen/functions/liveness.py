"""Liveness: which values of a function are needed at the same time, and so need two variables.

Computed backwards over the blocks, on the statements that will be written: a statement reads the
operands of all nodes folded into it. Sets of values are bits of an integer.
"""

from collections.abc import Iterator, Sequence
from typing import final

from runner.graph.codegen.functions.expression_folding import Folding
from runner.graph.ir.jumps import BREAK, CONTINUE, is_jump, loop_of
from runner.graph.ir.node import Argument, Block, Node, Value, values_in


@final
class Liveness:
    """Live ranges of the values of a function.

    `values` are those that are read or set, `interference` has for each of them the set of values
    that are live together with it.
    """

    def __init__(self, folding: Folding) -> None:
        self.values: list[Value] = []
        self.interference: list[int] = []
        self.bits: dict[Value, int] = {}
        self._folding = folding
        self._live = folding.live
        self._reads: dict[Node, int] = {}
        self._after: dict[tuple[Node, str], int] = {}  # live at the targets of a loop's jumps
        block = folding.function.block
        self._define(block.inputs, self._before(block, self.reads(block.end)))

    def _bit(self, value: Value) -> int:
        bit = self.bits.get(value)
        if bit is None:
            bit = self.bits[value] = 1 << len(self.values)
            self.values.append(value)
            self.interference.append(0)
        return bit

    def reads(self, node: Node) -> int:
        """Returns the values that are read where a node is written, folded nodes included."""
        known = self._reads.get(node)
        if known is None:
            known = self.read(self._folding.operands(node))
            if node in self._folding.ternary:
                for block in node.blocks:
                    known |= self.reads(block.end)
            self._reads[node] = known
        return known

    def read(self, values: Sequence[Value]) -> int:
        """Returns the values that are read where some values are written."""
        mask = 0
        for value in values:
            node = value.node
            if node is not None and self._folding.is_inline(node):
                mask |= self.reads(node)
            else:
                mask |= self._bit(value)
        return mask

    def _define(self, values: Sequence[Value], live: int) -> int:
        """Defines values all at once, while others are live; returns the live values before."""
        masks = [self._bit(value) for value in values]
        together = live
        for mask in masks:
            together |= mask
        for mask in masks:
            self._interfere(mask, together & ~mask)
            live &= ~mask
        return live

    def _interfere(self, mask: int, others: int) -> None:
        self.interference[mask.bit_length() - 1] |= others
        for place in positions(others):
            self.interference[place] |= mask

    def _before(self, block: Block, live: int) -> int:
        """Returns the live values at the start of a block, from those at its end."""
        for node in reversed(self._folding.statements(block)):
            if node.op == "loop":
                live = self._before_loop(node, live)
            elif node.blocks and node not in self._folding.ternary:
                live = self._before_blocks(node, live)
            else:
                if node.op == "raise":
                    live = self._after[loop_of(node), node.target] if is_jump(node) else 0
                live = self._define(self._set_by(node), live) | self.reads(node)
        return live

    def _set_by(self, node: Node) -> list[Value]:
        return [value for value in node.outputs if value in self._live.values]

    def _before_blocks(self, node: Node, live: int) -> int:
        live = 0 if node in self._folding.tails else self._define(self._set_by(node), live)
        before = self.reads(node)
        for block in node.blocks:
            after = 0 if self._live.ends(block) else live
            before |= self._before(block, after | self.reads(block.end))
        return before

    def _before_loop(self, node: Node, live: int) -> int:
        body = node.blocks[0]
        carried = self._live.carried(node)
        inside = [inner for inner, _, _ in carried]
        after = [outer for _, outer, _ in carried if outer in self._live.values]
        live = self._define(after, live)
        left = [inner for inner, outer, _ in carried if outer in self._live.values]
        kept = live | sum(map(self._bit, left))  # at the top of the loop
        self._after[node, BREAK] = self._define(left, kept)
        condition = self.read([*values_in(body.results[0])])
        condition = self._moved(condition, self._live.results(body))
        index = self._bit(body.inputs[0]) if body.inputs[0] in self._live.values else 0
        head = self._live.set_by_head(node)
        for _ in range(2):
            end = self._define(inside, kept | condition)
            self._after[node, CONTINUE] = self._define(inside, kept)
            start = self._before(body, end | self.reads(body.end))
            kept |= self._define(head, start)
            if index:
                self._interfere(index, self.read(inside) & ~index)
        first = self.read([*values_in(self._live.head(node))])
        first = self._moved(first, [(inner, value) for inner, _, value in carried])
        before = self._define(inside, kept | first)
        return before | self.read([*values_in([first for _, _, first in carried])])

    def _moved(self, mask: int, copies: Sequence[tuple[Value, Argument]]) -> int:
        """Returns the values in `mask` with the sources of copies replaced by their targets."""
        for value, source in copies:
            bit = self.bits.get(source, 0) if isinstance(source, Value) else 0
            if mask & bit:
                mask = mask & ~bit | self._bit(value)
        return mask


def positions(mask: int) -> Iterator[int]:
    """Yields the positions of the bits that are set, from the lowest."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
