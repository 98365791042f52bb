"""Which nodes of a function become statements, and which are written inside their only user.

A value without a name that is used once is folded into its user when no other node then runs in
another order than before, as far as `effects` says that the order matters. Python evaluates
operands from left to right, so that `f(a(), b())` stands for a, b, f.
"""

from collections.abc import Iterator
from typing import NamedTuple, final

from runner.graph.codegen.control_flow.iteration import Walk, walk_of
from runner.graph.codegen.control_flow.jumps import BREAK, CONTINUE, ends, is_jump, jumps, loop_of
from runner.graph.codegen.expressions import REFLECTED
from runner.graph.ir import effects
from runner.graph.ir.effects import Effect, commute
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Block, Body, Node, Value, values_in

_EXPRESSIONS = ("call_module", "call_function", "call_method", "get_attr", "list", "dict")
_TERNARY_NODES = 6  # a conditional expression with more nodes is written as a statement


class _Pending(NamedTuple):
    """A node that waits for its user, and its effect with all that is folded into it."""

    node: Node
    effect: Effect
    place: int


@final
class Folding:
    """How the nodes of a function are written.

    `used` are the nodes that are written at all. Of these, `folded` stand inside their only user,
    `copied` wherever they are used, `ternary` are Ifs written as conditional expressions; the rest
    are statements. `needed` are the values that something written uses, `walks` the loops over
    sequences, whose heads set what the graph takes out of them inside.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.used: set[Node] = set()
        self.needed: set[Value] = set()
        self.folded: set[Node] = set()
        self.copied: set[Node] = set()
        self.ternary: set[Node] = set()
        self.walks: dict[Node, Walk] = {}
        self._heads: dict[Value, Node] = {}  # what the head of such a loop sets
        self._ends: dict[Block, bool] = {}
        self._find_walks(function.block)
        self._mark(function.block)
        self._users: dict[Value, list[Node]] = {}
        self._places: dict[Node, int] = {}
        self._effects: dict[Node, Effect] = {}  # of folded nodes, with all that is folded into them
        self._stable = True  # whether attributes are the same throughout
        self._survey(function.block)
        self._fold(function.block)

    # What the nodes evaluate

    def ends(self, block: Block) -> bool:
        """Whether a block is always left before its end."""
        known = self._ends.get(block)
        if known is None:
            known = self._ends[block] = ends(block)
        return known

    def results(self, block: Block) -> list[tuple[Value, Argument]]:
        """What the end of a block of a node sets: the needed outputs (of a loop: the needed
        values it carries) and what they become."""
        node = block.owner
        if isinstance(node, Body) or self.ends(block):
            return []
        if node.op == "loop":
            return [
                (inner, result)
                for inner, outer, result in zip(
                    block.inputs[1:], node.outputs, block.results[1:], strict=True
                )
                if inner in self.needed or outer in self.needed
            ]
        both = zip(node.outputs, block.results, strict=True)
        return [(value, result) for value, result in both if value in self.needed]

    def leaves(self, jump: Node) -> list[tuple[Value, Argument]]:
        """What a break or continue sets: the needed values that its loop carries, of a break those
        needed behind it, and what they become."""
        loop = loop_of(jump)
        carried = zip(loop.blocks[0].inputs[1:], loop.outputs, jump.args, strict=True)
        return [
            (inner, given)
            for inner, outer, given in carried
            if outer in self.needed or (inner in self.needed and jump.target == CONTINUE)
        ]

    def carried(self, node: Node) -> list[tuple[Value, Value, Argument]]:
        """Of a loop: (value inside, value behind, first value) of all that it carries."""
        body = node.blocks[0]
        both = zip(body.inputs[1:], node.outputs, node.args[2:], strict=True)
        return [
            (inner, outer, first)
            for inner, outer, first in both
            if inner in self.needed or outer in self.needed
        ]

    def head(self, node: Node) -> list[Argument]:
        """Of a loop: what is evaluated before the first round, without what it carries. A condition
        decides whether the rest is."""
        walk = self.walks.get(node)
        return [node.args[1], node.args[0] if walk is None else (*walk.over,)]

    def writes(self, node: Node) -> bool:
        """Whether a folded node, or anything folded into it, writes."""
        return self._effects[node] == effects.WRITE

    def set_by_head(self, node: Node) -> list[Value]:
        """Of a loop: the needed values that the head sets in each round."""
        walk = self.walks.get(node)
        values = [node.blocks[0].inputs[0]] if walk is None else walk.sets
        return [value for value in values if value in self.needed]

    def operands(self, node: Node) -> list[Value]:
        """The values that a node itself evaluates, in this order, as often as it does."""
        return [value for argument in self._evaluated(node) for value in values_in(argument)]

    def _evaluated(self, node: Node) -> list[Argument]:
        match node.op:
            case "output":
                return self._evaluated_at_end(node.block)
            case "loop":
                first = [first for _, _, first in self.carried(node)]
                return [*first, *self.head(node)]
            case "raise" if is_jump(node):
                return [given for _, given in self.leaves(node)]
            case "call_method" if node.target in REFLECTED and len(node.args) == 2:
                return [*reversed(node.args)]
            case "call_function" if node.target == "operator:contains":
                return [*reversed(node.args)]
            case "call_function" if node.target == "operator:setitem":
                return [*node.args[2:], *node.args[:2]]
        return [*node.args, *node.kwargs.values()] if node.kwargs else [*node.args]

    def _evaluated_at_end(self, block: Block) -> list[Argument]:
        if isinstance(block.owner, Body):
            return [] if self.ends(block) else [*block.results]
        results = [result for _, result in self.results(block)]
        if block.owner.op == "loop" and not self.ends(block):
            results.append(block.results[0])
        return results

    # What is needed

    def _find_walks(self, block: Block) -> None:
        for node in block.walk():
            walk = walk_of(node) if node.op == "loop" else None
            if walk is not None:
                self.walks[node] = walk
                self._heads.update(dict.fromkeys(walk.sets, node))

    def _mark(self, block: Block) -> None:
        """Find what is used, from the result of the function and from all that writes."""
        values = [] if self.ends(block) else [*values_in(block.results)]
        for node in block.walk():
            if node.op != "output" and effects.effect(node) == effects.WRITE:
                values += self._use(node)
        while values:
            value = values.pop()
            if value not in self.needed:
                self.needed.add(value)
                values += self._sources(value)

    def _use(self, node: Node) -> list[Value]:
        """Use a node, and the nodes it stands in; gives the values that these need at once."""
        values: list[Value] = []
        while node not in self.used:
            self.used.add(node)
            if node.op == "loop":
                values += values_in(self.head(node))
                values += values_in(node.blocks[0].results[:1])
            elif not is_jump(node):
                values += values_in(node.args)
                values += values_in([*node.kwargs.values()])
            if isinstance(node.block.owner, Body):
                break
            node = node.block.owner
        return values

    def _sources(self, value: Value) -> list[Value]:
        """What a needed value needs in turn."""
        if value in self._heads:
            return self._use(self._heads[value])
        if isinstance(value.owner, Block):
            node = value.owner.owner
            if isinstance(node, Body):
                return []
            place = value.owner.inputs.index(value) - 1
            return self._use(node) + (self._carried(node, place, CONTINUE) if place >= 0 else [])
        node = value.owner
        values = self._use(node)
        if node.op == "loop":
            return values + self._carried(node, node.outputs.index(value), BREAK, CONTINUE)
        for block in node.blocks:
            if not self.ends(block):
                values += values_in(block.results[node.outputs.index(value)])
        return values

    @staticmethod
    def _carried(node: Node, place: int, *targets: str) -> list[Value]:
        """What a value that a loop carries needs, which jumps to some targets set as well."""
        given = [jump.args[place] for jump in jumps(node) if jump.target in targets]
        first, again = node.args[2 + place], node.blocks[0].results[1 + place]
        return [*values_in([first, again, *given])]

    def _survey(self, block: Block) -> None:
        """Number all that is written, and note who uses what."""
        for node in block.walk():
            self._places[node] = len(self._places)
            if node not in self.used and node.op != "output":
                continue
            if node.op == "set_attr" or (node.op == "call_module" and not node.path):
                self._stable = False
            for value in self.operands(node):
                self._users.setdefault(value, []).append(node)

    # Folding

    def _fold(self, block: Block) -> Effect:
        """Fold the nodes of a block; gives its effect."""
        waiting: list[_Pending] = []
        total = effects.PURE
        for node in block.nodes:
            if node not in self.used and node.op != "output":
                continue
            own = self._effect(node)
            for inner in node.blocks:
                own = max(own, self._fold(inner))
            if node.op == "if" and self._is_ternary(node):
                self.ternary.add(node)
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

    def _effect(self, node: Node) -> Effect:
        if node.op == "get_attr" and self._stable:
            if self._is_nameless(node) and not self._used_once_here(node):
                self.copied.add(node)
            return effects.PURE
        return effects.effect(node)

    def _absorb(self, node: Node, own: Effect, waiting: list[_Pending]) -> Effect:
        """Let a node take the waiting ones that it uses; gives the effect of all together."""
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
        """One that writes, and would only be evaluated where the condition of a loop is met."""
        if node.op != "loop" or node.args[0] is None or node.args[1] is True:
            return None
        always = {*values_in([*node.args[1:]])}
        for pending in inside:
            if pending.effect == effects.WRITE and always.isdisjoint(pending.node.outputs):
                return pending
        return None

    @staticmethod
    def _out_of_order(inside: list[_Pending], waiting: list[_Pending]) -> _Pending | None:
        """One that cannot be evaluated inside the node, since it would run too late there."""
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
        """Make a waiting node a statement where it stands, and all that must run before it."""
        waiting.remove(pending)
        self.folded.discard(pending.node)
        self._pass(pending.effect, waiting, before=pending.place)

    def _pass(self, effect: Effect, waiting: list[_Pending], before: int | None = None) -> None:
        """Write a statement: what waits, and cannot run after it, becomes a statement as well."""
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
        """Whether it is the condition behind a round of a loop, which is evaluated once the
        carried variables are set anew, and reads an old one."""
        block = node.block
        if isinstance(block.owner, Body) or block.owner.op != "loop":
            return False
        if block.results[0] not in node.outputs:
            return False
        changed = {value for value, result in self.results(block) if result is not value}
        return not changed.isdisjoint(self._reads(node))

    def _reads(self, node: Node) -> Iterator[Value]:
        """The variables that are read where a node is written."""
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
        value = next((value for value in node.outputs if value in self.needed), None)
        users = self._users.get(value, ()) if value is not None else ()
        return len(users) == 1 and users[0].block is node.block

    def _is_ternary(self, node: Node) -> bool:
        """Whether both blocks are one expression."""
        needed = [value for value in node.outputs if value in self.needed]
        if len(needed) != 1 or any(self.ends(block) for block in node.blocks):
            return False
        inner = [n for n in node.walk() if n.op != "output" and n is not node and n in self.used]
        if len(inner) > _TERNARY_NODES or not self.folded.union(self.copied).issuperset(inner):
            return False
        return not any(
            isinstance(result, Value) and result.name == needed[0].name != ""
            for block in node.blocks
            for _, result in self.results(block)
        )
