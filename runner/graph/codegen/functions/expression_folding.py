"""Expression folding: writes nodes inside their only user, if possible, instead of as statements.

A value without a name that is used once is folded into its user if that leaves the order of
evaluation unchanged, up to swaps of nodes whose `effects` commute. Python evaluates operands from
left to right, so that `f(a(), b())` runs a, b, f.
"""

from collections.abc import Iterator
from typing import NamedTuple, final

from runner.graph.codegen.control_flow.iteration import Iteration
from runner.graph.ir import effects
from runner.graph.ir.dead_code import LiveCode
from runner.graph.ir.effects import Effect, commute
from runner.graph.ir.function import Function
from runner.graph.ir.jumps import is_jump
from runner.graph.ir.node import Argument, Block, Body, Node, Value, values_in
from runner.python_operators import REFLECTED

_EXPRESSIONS = ("call_module", "call_function", "call_method", "get_attr", "list", "dict")
_TERNARY_NODES = 6  # a conditional expression with more nodes is written as a statement


class _Pending(NamedTuple):
    """A node that waits for its user, and its effect, including that of nodes folded into it."""

    node: Node
    effect: Effect
    place: int


@final
class Folding:
    """The way the live nodes of a function are written.

    `folded` nodes are written inside their only user, `copied` ones wherever they are used,
    `ternary` are Ifs written as conditional expressions, those in `logical` with "and" or "or"; the
    rest are statements. `iterations` are the loops over sequences.
    """

    def __init__(
        self, function: Function, live: LiveCode, iterations: dict[Node, Iteration]
    ) -> None:
        self.function = function
        self.live = live
        self.iterations = iterations
        self.folded: set[Node] = set()
        self.copied: set[Node] = set()
        self.ternary: set[Node] = set()
        self.logical: dict[Node, str] = {}
        self._users: dict[Value, list[Node]] = {}
        self._places: dict[Node, int] = {}
        self._effects: dict[Node, Effect] = {}  # of folded nodes, and those inside them
        self._stable = True  # whether the function sets no attributes
        self._survey(function.block)
        self._fold(function.block)
        self.tails = frozenset(self._tails(function.block))  # Ifs whose blocks return

    # Queries

    def statements(self, block: Block) -> list[Node]:
        """Returns the nodes of a block that are written as statements."""
        return [node for node in block.nodes[:-1] if node in self.live.nodes
                and node not in self.folded and node not in self.copied]  # fmt: skip

    def is_inline(self, node: Node | None) -> bool:
        """Returns whether a node is written as an expression where it is used."""
        return node is not None and (node in self.folded or node in self.copied)

    def writes(self, node: Node) -> bool:
        """Returns whether a folded node, or anything folded into it, writes."""
        return self._effects[node] == effects.WRITE

    def operands(self, node: Node) -> list[Value]:
        """Returns the values that a node itself evaluates, in order, as often as it does."""
        return [value for argument in self._evaluated(node) for value in values_in(argument)]

    def _evaluated(self, node: Node) -> list[Argument]:
        match node.op:
            case "output":
                return self._evaluated_at_end(node.block)
            case "loop":
                first = [first for _, _, first in self.live.carried(node)]
                return [*first, *self.live.head(node)]
            case "raise" if is_jump(node):
                return [given for _, given in self.live.jump_results(node)]
            case "call_method" if node.target in REFLECTED and len(node.args) == 2:
                return [*reversed(node.args)]
            case "call_function" if node.target == "operator:contains":
                return [*reversed(node.args)]
            case "call_function" if node.target == "operator:setitem":
                return [*node.args[2:], *node.args[:2]]
        return [*node.args, *node.kwargs.values()] if node.kwargs else [*node.args]

    def _evaluated_at_end(self, block: Block) -> list[Argument]:
        if isinstance(block.owner, Body):
            return [] if self.live.ends(block) else [*block.results]
        if block is self._repeating(block.owner):
            return []
        results = [result for _, result in self.live.results(block)]
        if block.owner.op == "loop" and not self.live.ends(block):
            results.append(block.results[0])
        return results

    def _survey(self, block: Block) -> None:
        """Numbers all nodes, and records the users of each value."""
        for node in block.walk():
            self._places[node] = len(self._places)
            if node not in self.live.nodes and node.op != "output":
                continue
            if node.op == "if" and (word := self._word(node)):
                self.logical[node] = word
            if node.op == "set_attr" or (node.op == "call_module" and not node.path):
                self._stable = False
            for value in self.operands(node):
                self._users.setdefault(value, []).append(node)

    # Folding

    def _fold(self, block: Block) -> Effect:
        """Folds the nodes of a block; returns its effect."""
        waiting: list[_Pending] = []
        total = effects.PURE
        for node in block.nodes:
            if node not in self.live.nodes and node.op != "output":
                continue
            own = self._effect(node)
            for inner in node.blocks:
                own = max(own, self._fold(inner))
            if node.op == "if":
                self._decide(node, waiting)
            whole = self._absorb(node, own, waiting)
            total = max(total, whole)
            if node in self.copied:
                continue
            if self._may_wait(node):
                self.folded.add(node)
                self._effects[node] = whole
                waiting.append(_Pending(node, whole, self._places[node]))
            else:
                self._pass(whole, waiting)
        return total

    def _decide(self, node: Node, waiting: list[_Pending]) -> None:
        """Decides whether an If is written as an expression."""
        if self._is_ternary(node):
            self.ternary.add(node)
        elif self.logical.pop(node, None) is not None:  # its condition is also copied in a block
            for pending in [*waiting]:
                if pending in waiting and node.args[0] in pending.node.outputs:
                    self._unfold(pending, waiting)

    def _effect(self, node: Node) -> Effect:
        if node.op == "get_attr" and self._stable:
            if self._is_nameless(node) and not self._used_once_here(node):
                self.copied.add(node)
            return effects.PURE
        return effects.effect(node)

    def _absorb(self, node: Node, own: Effect, waiting: list[_Pending]) -> Effect:
        """Folds into a node the waiting ones that it uses; returns their combined effect."""
        while True:
            inside = [*self._waiting_for(node, waiting)]
            moved = self._left_out(node, inside) or self._out_of_order(inside, waiting)
            if moved is None:
                break
            self._unfold(moved, waiting)
        for pending in inside:
            waiting.remove(pending)
            own = max(own, pending.effect)
        return own

    def _waiting_for(self, node: Node, waiting: list[_Pending]) -> Iterator[_Pending]:
        if not waiting:
            return
        by_node = {pending.node: pending for pending in waiting}
        for value in self.operands(node):
            if value.node in by_node:
                yield by_node[value.node]

    @staticmethod
    def _left_out(node: Node, inside: list[_Pending]) -> _Pending | None:
        """Returns a node that writes, and would run only if a loop's first condition is true."""
        if node.op != "loop" or node.args[0] is None or node.args[1] is True:
            return None
        always = {*values_in([*node.args[1:]])}
        for pending in inside:
            if pending.effect == effects.WRITE and always.isdisjoint(pending.node.outputs):
                return pending
        return None

    @staticmethod
    def _out_of_order(inside: list[_Pending], waiting: list[_Pending]) -> _Pending | None:
        """Returns a waiting node that would run too late if it were folded into its user."""
        for place, late in enumerate(inside):
            for early in inside[:place]:
                if early.place > late.place and not commute(early.effect, late.effect):
                    return late
        for pending in inside:
            for other in waiting:
                passed = other.place > pending.place and other not in inside
                if passed and not commute(pending.effect, other.effect):
                    return pending
        return None

    def _unfold(self, pending: _Pending, waiting: list[_Pending]) -> None:
        """Turns a waiting node, and all that must run before it, into statements in place."""
        waiting.remove(pending)
        self.folded.discard(pending.node)
        self._pass(pending.effect, waiting, before=pending.place)

    def _pass(self, effect: Effect, waiting: list[_Pending], before: int | None = None) -> None:
        """Turns all waiting nodes that cannot run after a statement into statements before it."""
        for pending in [*waiting]:
            if before is not None and pending.place > before:
                continue
            if pending in waiting and not commute(pending.effect, effect):
                self._unfold(pending, waiting)

    def _may_wait(self, node: Node) -> bool:
        if node.op not in _EXPRESSIONS and node not in self.ternary:
            return False
        if not (self._is_nameless(node) and self._used_once_here(node)):
            return False
        return not self._reads_what_is_carried(node)

    def _reads_what_is_carried(self, node: Node) -> bool:
        """Returns whether a node computes a loop condition from a pre-update value of a carried
        variable."""
        block = node.block
        if isinstance(block.owner, Body) or block.owner.op != "loop":
            return False
        if block.results[0] not in node.outputs:
            return False
        changed = {value for value, result in self.live.results(block) if result is not value}
        return not changed.isdisjoint(self._reads(node))

    def _reads(self, node: Node) -> Iterator[Value]:
        """Yields the values that are read where a node is written, folded nodes included."""
        for value in self.operands(node):
            inner = value.node
            if inner is not None and (inner in self.folded or inner in self.copied):
                yield from self._reads(inner)
            else:
                yield value
        if node in self.ternary:
            for block in node.blocks:
                yield from self._reads(block.end)

    @staticmethod
    def _is_nameless(node: Node) -> bool:
        if len(node.outputs) != 1:
            return False
        name = node.outputs[0].name
        return not name or (node.op == "get_attr" and name == node.target.rpartition(".")[2])

    def _used_once_here(self, node: Node) -> bool:
        value = next((value for value in node.outputs if value in self.live.values), None)
        users = self._users.get(value, ()) if value is not None else ()
        return len(users) == 1 and users[0].block is node.block

    def _is_ternary(self, node: Node) -> bool:
        """Returns whether an If can be written as a conditional expression."""
        needed = [value for value in node.outputs if value in self.live.values]
        if len(needed) != 1 or any(self.live.ends(block) for block in node.blocks):
            return False
        inner = [
            n for n in node.walk() if n.op != "output" and n is not node and n in self.live.nodes
        ]
        if len(inner) > _TERNARY_NODES or not self.folded.union(self.copied).issuperset(inner):
            return False
        return not any(
            isinstance(result, Value) and result.name == needed[0].name != ""
            for block in node.blocks
            for _, result in self.live.results(block)
        )

    # Operators that return one of their operands

    def _word(self, node: Node) -> str | None:
        """Returns "and" or "or" for an If whose only live result is its condition in one of the
        cases, which is `a and b` or `a or b` for values of any type; None for any other."""
        same = []
        for block in node.blocks:
            results = self.live.results(block)
            if len(results) != 1:
                return None
            same.append(type(node.args[0]) is Value and results[0][1] is node.args[0])
        match same:
            case [True, False]:
                word = "or"
            case [False, True]:
                word = "and"
            case _:
                return None
        is_empty = self.live.nodes.isdisjoint(node.blocks[word == "and"].walk())
        return word if is_empty else None

    def _repeating(self, node: Node) -> Block | None:
        """Returns the block that evaluates nothing, as it results in the first operand of a logical
        operator."""
        return node.blocks[self.logical[node] == "and"] if node in self.logical else None

    # Returns

    def _tails(self, block: Block, place: int = 0) -> Iterator[Node]:
        """Yields the Ifs that are followed by nothing but the return of their output."""
        result = block.results[place] if len(block.results) > place else None
        written = self.statements(block)
        if not isinstance(result, Value) or not written or written[-1] is not result.node:
            return
        node = written[-1]
        if node.op != "if" or node in self.ternary or result.name:
            return
        if len(result.users) == 1 and sum(value in self.live.values for value in node.outputs) == 1:
            yield node
            for inner in node.blocks:
                yield from self._tails(inner, node.outputs.index(result))
