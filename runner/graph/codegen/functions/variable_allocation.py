"""Which variable holds which value of a function.

Values are given once, variables many times: values that are never needed at the same time may
share one. Liveness is computed backwards over the blocks; what flows together at the end of an If
or around a loop shares a variable if it can, so that no copy is needed; and each variable is
called as the source called it, with a number behind the name where two of one name are needed at
the same time. Sets of values are bits of a number.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import final

from runner.graph.codegen.control_flow.jumps import BREAK, CONTINUE, is_jump, jumps, loop_of
from runner.graph.codegen.functions.expression_folding import Folding
from runner.graph.codegen.imports import as_name
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Block, Node, Value, values_in

_SAY_NOTHING = ("operator", "builtins")


@final
class Names:
    """The names of the variables of a function: `names[value]`.

    `reserved` are names that mean something else in it. `is_tail` says of an If whether its blocks
    return, instead of setting its output. `nobody` is set to what is not needed; no value has that
    name.
    """

    def __init__(
        self,
        function: Function,
        folding: Folding,
        reserved: set[str],
        is_tail: Callable[[Node], bool],
    ) -> None:
        self._folding = folding
        self._is_tail = is_tail
        self._bits: dict[Value, int] = {}
        self._values: list[Value] = []
        self._clashes: list[int] = []  # for each value: the values it cannot share with
        self._groups: list[int] = []  # for each value: the first of those it shares with
        self._members: dict[int, int] = {}
        self._reads: dict[Node, int] = {}
        self._behind: dict[tuple[Node, str], int] = {}  # what is live where jumps of a loop lead
        entry = self._live(function.block, self._end(function.block))
        self._define([*function.inputs], entry)
        self._share(function)
        self.nobody = "_unused" if any(value.name == "_" for value in function.inputs) else "_"
        self.names = self._choose(function, reserved | {self.nobody})

    # Bits

    def _bit(self, value: Value) -> int:
        bit = self._bits.get(value)
        if bit is None:
            place = len(self._values)
            bit = self._bits[value] = 1 << place
            self._values.append(value)
            self._clashes.append(0)
            self._groups.append(place)
            self._members[place] = bit
        return bit

    def _mask(self, values: list[Value]) -> int:
        return sum(map(self._bit, values))

    def reads(self, node: Node) -> int:
        """The variables that are read where a node is written, with all that is folded into it."""
        known = self._reads.get(node)
        if known is None:
            known = self._reads[node] = self._read(self._folding.operands(node))
            if node in self._folding.ternary:
                for block in node.blocks:
                    known |= self.reads(block.end)
                self._reads[node] = known
        return known

    def _read(self, values: list[Value]) -> int:
        mask = 0
        folding = self._folding
        for value in values:
            node = value.node
            if node is not None and (node in folding.folded or node in folding.copied):
                mask |= self.reads(node)
            else:
                mask |= self._bit(value)
        return mask

    def read_by(self, argument: Argument) -> set[str]:
        """The names of the variables that are read where an argument is written."""
        mask = self._read([*values_in(argument)])
        return {self.names[self._values[place]] for place in _places(mask)}

    # Liveness, backwards

    def _define(self, values: list[Value], live: int) -> int:
        """Values are set at once, while others are live; gives what is live before."""
        masks = [self._bit(value) for value in values]
        together = live
        for mask in masks:
            together |= mask
        for mask in masks:
            self._clash(mask, together & ~mask)
            live &= ~mask
        return live

    def _clash(self, mask: int, others: int) -> None:
        self._clashes[mask.bit_length() - 1] |= others
        for place in _places(others):
            self._clashes[place] |= mask

    def _end(self, block: Block) -> int:
        return self.reads(block.end)

    def _live(self, block: Block, live: int) -> int:
        """What is live at the start of a block, from what is live at its end."""
        folding = self._folding
        for node in reversed(block.nodes):
            written = node in folding.used and node not in folding.folded
            if not written or node in folding.copied:
                continue
            if node.op == "loop":
                live = self._live_loop(node, live)
            elif node.blocks and node not in folding.ternary:
                live = self._live_blocks(node, live)
            else:
                if node.op == "raise":
                    live = self._behind[loop_of(node), node.target] if is_jump(node) else 0
                live = self._define(self._set_by(node), live) | self.reads(node)
        return live

    def _set_by(self, node: Node) -> list[Value]:
        return [value for value in node.outputs if value in self._folding.needed]

    def _live_blocks(self, node: Node, live: int) -> int:
        live = 0 if self._is_tail(node) else self._define(self._set_by(node), live)
        before = self.reads(node)
        for block in node.blocks:
            behind = 0 if self._folding.ends(block) else live
            before |= self._live(block, behind | self._end(block))
        return before

    def _live_loop(self, node: Node, live: int) -> int:
        body = node.blocks[0]
        carried = self._folding.carried(node)
        inside = [inner for inner, _, _ in carried]
        behind = [outer for _, outer, _ in carried if outer in self._folding.needed]
        live = self._define(behind, live)
        left = [inner for inner, outer, _ in carried if outer in self._folding.needed]
        kept = live | self._mask(left)  # at the top of the loop
        self._behind[node, BREAK] = self._define(left, kept)
        condition = self._read([*values_in(body.results[0])])
        condition = self._moved(condition, self._folding.results(body))
        index = self._bit(body.inputs[0]) if body.inputs[0] in self._folding.needed else 0
        head = self._folding.set_by_head(node)
        for _ in range(2):
            end = self._define(inside, kept | condition)
            self._behind[node, CONTINUE] = self._define(inside, kept)
            start = self._live(body, end | self._end(body))
            kept |= self._define(head, start)
            if index:
                self._clash(index, self._read(inside) & ~index)
        first = self._read([*values_in(self._folding.head(node))])
        first = self._moved(first, [(inner, value) for inner, _, value in carried])
        before = self._define(inside, kept | first)
        return before | self._read([*values_in([first for _, _, first in carried])])

    def _moved(self, mask: int, copies: Sequence[tuple[Value, Argument]]) -> int:
        """What is read in the place of a mask, where variables were set to others before."""
        for value, source in copies:
            bit = self._bits.get(source, 0) if isinstance(source, Value) else 0
            if mask & bit:
                mask = mask & ~bit | self._bit(value)
        return mask

    # Sharing

    def _share(self, function: Function) -> None:
        for value, others in self._flows(function):
            for other in others:
                if isinstance(other, Value) and value in self._bits and other in self._bits:
                    self._merge(value, other)

    def _flows(self, function: Function) -> Iterator[tuple[Value, list[Argument]]]:
        """Values, and what flows into or out of each at the end of a block."""
        for node in function.block.walk():
            if node not in self._folding.used or node in self._folding.ternary:
                continue
            if node.op == "loop":
                results = dict(self._folding.results(node.blocks[0]))
                for inner, outer, first in self._folding.carried(node):
                    yield inner, [results.get(inner), outer, first]
                for jump in jumps(node):
                    for inner, given in self._folding.leaves(jump):
                        yield inner, [given]
            elif node.blocks and not self._is_tail(node):
                for block in node.blocks:
                    for value, result in self._folding.results(block):
                        yield value, [result]

    def _group(self, value: Value) -> int:
        place = self._bits[value].bit_length() - 1
        while self._groups[place] != place:
            place = self._groups[place]
        return place

    def _merge(self, value: Value, other: Value) -> None:
        one, two = self._group(value), self._group(other)
        if one == two or self._members[one] & self._clashes[two]:
            return
        names = {self._name_of(one), self._name_of(two)} - {""}
        if len(names) > 1:  # the source had a copy there
            return
        self._groups[two] = one
        self._members[one] |= self._members.pop(two)
        self._clashes[one] |= self._clashes[two]

    def _name_of(self, group: int) -> str:
        """The first name the source has for one of the values."""
        names = (self._values[place].name for place in _places(self._members[group]))
        return next((name for name in names if name), "")

    # Names

    def _choose(self, function: Function, reserved: set[str]) -> dict[Value, str]:
        taken: dict[str, int] = {}
        chosen: dict[int, str] = {}
        fixed = {self._group(value): as_name(value.name) for value in function.inputs}
        for group in [*fixed, *self._in_order(function)]:
            if group in chosen:
                continue
            clashes = self._clashes[group]
            base = fixed.get(group) or self._base(group)
            name, number = base, 1
            while group not in fixed and (name in reserved or taken.get(name, 0) & clashes):
                name, number = f"{base}_{number}", number + 1
            chosen[group] = name
            taken[name] = taken.get(name, 0) | self._members[group]
        return {value: chosen[self._group(value)] for value in self._values}

    def _in_order(self, function: Function) -> Iterator[int]:
        for node in function.block.walk():
            for value in (*node.outputs, *(v for block in node.blocks for v in block.inputs)):
                if value in self._bits:
                    yield self._group(value)

    def _base(self, group: int) -> str:
        """How to call a variable."""
        name = self._name_of(group)
        if name:
            return as_name(name)
        first = self._values[next(_places(self._members[group]))]
        return as_name(_temporary(first))


def _temporary(value: Value) -> str:
    """A name for a value that has none in the source."""
    node = value.node
    if node is None:
        block = value.owner
        is_index = isinstance(block, Block) and block.inputs[0] is value
        return "i" if is_index else "y"
    module, _, name = node.target.partition(":")
    if node.op == "call_module":
        words = [word for word in node.path.split(".") if word and not word.isdigit()]
        return words[-1] if words else "y"
    if node.op == "get_attr":
        return node.target.rpartition(".")[2]
    if node.target == "builtins:getattr" and isinstance(node.args[1], str):
        return node.args[1]
    if node.op == "call_method":
        return node.target.rstrip("_") if node.target in _TELLING else "y"
    if node.op in ("list", "dict"):
        return "items"
    return "y" if module in _SAY_NOTHING or node.op != "call_function" else _word(name)


_TELLING = {"size", "dim", "numel", "mean", "chunk", "split", "unbind"}


def _word(name: str) -> str:
    word = name.rpartition(".")[2].rstrip("_")
    return f"{word}_out" if len(word) > 1 else "y"


def _places(mask: int) -> Iterator[int]:
    """The places of the bits that are set, from the lowest."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
