"""Variable allocation: assigns the values of a function to variables.

Values are set once, variables many times: values that are never live at the same time may share
one. Values that flow into each other at the end of an If or around a loop are coalesced if
possible, which avoids a copy. Variables keep their names in the original source, with a number
appended if two of one name are live at the same time.
"""

from collections.abc import Iterator
from typing import final

from runner.graph.codegen.expressions.imports import as_name
from runner.graph.codegen.functions.expression_folding import Folding
from runner.graph.codegen.functions.liveness import Liveness, positions
from runner.graph.ir.jumps import jumps
from runner.graph.ir.node import Argument, Block, Value, values_in

_SAY_NOTHING = ("operator", "builtins")


@final
class Variables:
    """The variables of a function: `names[value]`.

    `reserved` are names with another meaning in it. `unused` is the name that unused values are
    assigned to.
    """

    def __init__(self, folding: Folding, reserved: set[str]) -> None:
        self._folding = folding
        self._liveness = liveness = Liveness(folding)
        self._groups = [*range(len(liveness.values))]  # union-find: the parent of each value
        self._members = {place: 1 << place for place in self._groups}
        self._clashes = [*liveness.interference]
        self._coalesce()
        inputs = folding.function.inputs
        self.unused = "_unused" if any(value.name == "_" for value in inputs) else "_"
        self.names = self._choose(reserved | {self.unused})

    def read_by(self, argument: Argument) -> set[str]:
        """Returns the names of the variables that are read where an argument is written."""
        mask = self._liveness.read([*values_in(argument)])
        return {self.names[self._liveness.values[place]] for place in positions(mask)}

    # Coalescing

    def _coalesce(self) -> None:
        bits = self._liveness.bits
        for value, other in self._flows(self._folding.function.block):
            if isinstance(other, Value) and value in bits and other in bits:
                self._merge(value, other)

    def _flows(self, block: Block) -> Iterator[tuple[Value, Argument]]:
        """Yields pairs of values where one is copied to the other at the end of a block."""
        live = self._folding.live
        for node in block.walk():
            if node not in live.nodes or node in self._folding.ternary:
                continue
            if node.op == "loop":
                results = dict(live.results(node.blocks[0]))
                for inner, outer, first in live.carried(node):
                    yield from ((inner, other) for other in (results.get(inner), outer, first))
                for jump in jumps(node):
                    yield from live.jump_results(jump)
            elif node.blocks and node not in self._folding.tails:
                for inner_block in node.blocks:
                    yield from live.results(inner_block)

    def _group(self, value: Value) -> int:
        place = self._liveness.bits[value].bit_length() - 1
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
        """Returns the first name of a value of the group in the source; "" if none has one."""
        names = (self._liveness.values[place].name for place in positions(self._members[group]))
        return next((name for name in names if name), "")

    # Names

    def _choose(self, reserved: set[str]) -> dict[Value, str]:
        taken: dict[str, int] = {}
        chosen: dict[int, str] = {}
        fixed = {self._group(value): as_name(value.name) for value in self._folding.function.inputs}
        for group in [*fixed, *self._in_order()]:
            if group in chosen:
                continue
            clashes = self._clashes[group]
            base = fixed.get(group) or self._base(group)
            name, number = base, 1
            while group not in fixed and (name in reserved or taken.get(name, 0) & clashes):
                name, number = f"{base}_{number}", number + 1
            chosen[group] = name
            taken[name] = taken.get(name, 0) | self._members[group]
        return {value: chosen[self._group(value)] for value in self._liveness.values}

    def _in_order(self) -> Iterator[int]:
        for node in self._folding.function.block.walk():
            for value in (*node.outputs, *(v for block in node.blocks for v in block.inputs)):
                if value in self._liveness.bits:
                    yield self._group(value)

    def _base(self, group: int) -> str:
        """Returns the name of a variable before any number is appended."""
        name = self._name_of(group)
        if name:
            return as_name(name)
        first = self._liveness.values[next(positions(self._members[group]))]
        return as_name(_temporary(first))


def _temporary(value: Value) -> str:
    """Returns a name for a value that has none in the source."""
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
