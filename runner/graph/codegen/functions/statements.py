"""Statements: prints a function of the graph as the lines of a `def`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, final

from runner.graph.codegen.control_flow.iteration import IteratedSequence
from runner.graph.codegen.expressions import line_breaking as layout
from runner.graph.codegen.expressions.expression_trees import key_of
from runner.graph.codegen.expressions.expressions import assignment, method_name, negation
from runner.graph.codegen.expressions.imports import Imports
from runner.graph.codegen.expressions.line_breaking import STEP, Code, lay_out
from runner.graph.codegen.functions.expression_folding import Folding
from runner.graph.codegen.functions.value_expressions import Access, Values
from runner.graph.codegen.functions.variable_allocation import Variables
from runner.graph.ir.jumps import CONTINUE, RETURN, is_jump, jumps
from runner.graph.ir.node import Argument, Block, Body, Node, Value, map_values, producer
from runner.python_operators import AUGMENTED, Precedence

_TYPES = re.compile(
    r"(torch\.Tensor|torch\.device|list|dict|tuple|int|float|bool|str|None|complex|"
    r"\.\.\.|[\[\], |])+"
)


def _sign(change: Node) -> str:
    """Returns the sign of an in-place operator, without the `=`."""
    return AUGMENTED[change.target.partition(":")[2]].sign


def _annotated(annotation: str) -> str:
    """Returns the annotation of a parameter as written after its name; "" for a tensor."""
    if annotation == "torch.Tensor" or _TYPES.fullmatch(annotation) is None:
        return ""
    return f": {annotation}"


@final
class Printer:
    """A printer of the statements of one function; `Values` prints the expressions in them."""

    def __init__(
        self,
        folding: Folding,
        variables: Variables,
        imports: Imports,
        access: Access,
    ) -> None:
        self._function = folding.function
        self._folding = folding
        self._live = folding.live
        self._variables = variables
        self._values = Values(folding, variables.names, imports, access)
        self._writer = self._values.writer

    def function(self, first: str) -> list[str]:
        """Returns the lines of the `def`; `first` is its first parameter, "" for none."""
        items = [Code(first)] if first else []
        for parameter, value in zip(self._function.parameters, self._function.inputs, strict=True):
            name, note = self._variables.names[value], _annotated(parameter.annotation)
            if parameter.kind in ("*", "**"):
                items.append(Code(f"{parameter.kind}{name}"))
                continue
            if parameter.kind == "keyword" and not any(item.text[0] == "*" for item in items):
                items.append(Code("*"))
            if not parameter.default:
                items.append(Code(f"{name}{note}"))
                continue
            default = self._writer.code(parameter.default[0])
            sign = " = " if note else "="
            items.append(default.around(f"{name}{note}{sign}", "", Precedence.TUPLE))
        name = self._function.name
        called = method_name(name) if first else self._writer.imports.name(f":{name}")
        head = layout.call(called, items)
        margin = STEP if first else 0
        body = self._block(self._function.block, margin + STEP, returns=True)
        if body and body[-1] == f"{' ' * (margin + STEP)}return None":
            body.pop()
        lines = lay_out("def ", head, ":", margin)
        return [*lines, *(body or [f"{' ' * (margin + STEP)}pass"])]

    # Statements

    def _block(self, block: Block, indent: int, *, returns: bool) -> list[str]:
        lines: list[str] = []
        for node in self._folding.statements(block):
            lines += self._statement(node, indent)
        if self._live.ends(block):
            return lines
        if returns:
            results = self._results_of_function(block)
            if results and type(results[0]) is Value and results[0].node in self._folding.tails:
                return lines
            return lines + (self._with_tuple("return ", results[0], indent) if results else [])
        return lines + self._copies(self._live.results(block), indent)

    def _results_of_function(self, block: Block) -> list[Argument]:
        if isinstance(block.owner, Body):
            return [*block.results]
        return [result for _, result in self._live.results(block)]

    def _with_tuple(self, before: str, result: Argument, indent: int) -> list[str]:
        """Returns a statement that ends with an expression; a tuple may lose its parentheses."""
        if type(result) is tuple and len(result) > 1:
            bare = layout.tuple_of(self._writer.all(result))
            if indent + len(before) + len(bare.text) <= layout.WIDTH:
                return lay_out(before, bare, "", indent)
        return lay_out(before, self._writer.code(result), "", indent)

    def _copies(self, pairs: list[tuple[Value, Argument]], indent: int) -> list[str]:
        """Returns the assignment of variables, in one statement if their order matters."""
        names = self._variables.names
        moves = [(names[v], result) for v, result in pairs if not self._is_same(v, result)]
        safe = all(
            name not in self._variables.read_by(later)
            for place, (name, _) in enumerate(moves)
            for _, later in moves[place + 1 :]
        )
        if safe:
            return [line for name, r in moves for line in self._with_tuple(f"{name} = ", r, indent)]
        targets = ", ".join(name for name, _ in moves)
        values = layout.tuple_of([self._writer.code(result) for _, result in moves])
        return lay_out(f"{targets} = ", values, "", indent)

    def _is_same(self, value: Value, result: Argument) -> bool:
        return self._writer.code(result).text == self._variables.names[value]

    def _statement(self, node: Node, indent: int) -> list[str]:
        match node.op:
            case "if" if node not in self._folding.ternary:
                return self._if(node, indent)
            case "loop":
                return self._loop(node, indent)
            case "with":
                head = lay_out("with ", self._writer.code(node.args[0]), ":", indent)
                body = self._block(node.blocks[0], indent + STEP, returns=False)
                return [*head, *(body or [f"{' ' * (indent + STEP)}pass"])]
            case "raise" if node.target == RETURN:
                return self._with_tuple("return ", node.args[0], indent)
            case "raise" if is_jump(node):
                moves = self._copies(self._live.jump_results(node), indent)
                return [*moves, f"{' ' * indent}{node.target[1:]}"]
            case "raise":
                made = self._writer.call(node.target, node.args, node.kwargs)
                return lay_out("raise ", made, "", indent)
            case "set_attr":
                before, code = assignment(
                    "self", node.target, self._writer.code(node.args[0]).at(Precedence.TERNARY)
                )
                change = self._change_of(node.args[0], "get_attr", [node.target])
                if before and change is not None:
                    before = f"self.{node.target} {_sign(change)}= "
                    code = self._writer.code(change.args[1])
                return lay_out(before, code, "", indent)
            case "unpack":
                return self._assign(node, self._writer.code(node.args[0]), indent)
            case "call_function" if node.target.startswith("operator:"):
                return self._operator(node, indent)
        return self._assign(node, self._values.expression(node), indent)

    def _assign(self, node: Node, code: Code, indent: int) -> list[str]:
        needed = [value for value in node.outputs if value in self._live.values]
        if not needed:
            return lay_out("", code, "", indent)
        names = [
            self._variables.names[value] if value in self._live.values else self._variables.unused
            for value in node.outputs
        ]
        targets = ", ".join(names)
        if node.op == "unpack" and len(names) == 1:
            targets = f"({names[0]},)"
        elif node.op == "if":
            targets = self._variables.names[needed[0]]
        return lay_out(f"{targets} = ", code, "", indent)

    def _operator(self, node: Node, indent: int) -> list[str]:
        """Returns a call of an operator that is a statement in Python."""
        name, args = node.target.partition(":")[2], node.args
        if name == "setitem" and len(args) == 3:
            place = self._writer.item(args[0], args[1])
            if (change := self._change_of(args[2], "operator:getitem", args[:2])) is not None:
                code = self._writer.code(change.args[1])
                return lay_out(f"{place.text} {_sign(change)}= ", code, "", indent)
            return lay_out(f"{place.text} = ", self._writer.code(args[2]), "", indent)
        if name == "delitem" and len(args) == 2:
            return lay_out("del ", self._writer.item(args[0], args[1]), "", indent)
        if name in AUGMENTED and len(args) == 2:
            target = self._writer.code(args[0])
            if self._is_target(node, target):
                before = f"{target.text} {AUGMENTED[name].sign}= "
                return lay_out(before, self._writer.code(args[1]), "", indent)
        return self._assign(node, self._values.expression(node), indent)

    def _change_of(self, new: Argument, read: str, place: Sequence[Argument]) -> Node | None:
        """Returns the in-place operator that computes the new value of an attribute or item from
        the old one, which a `read` of the same place gives; None if it is another value."""
        node = producer(new)
        if node is None or node not in self._folding.folded or len(node.args) != 2:
            return None
        old = producer(node.args[0])
        if old is None or not self._is_inside(old) or read not in (old.op, old.target):
            return None
        given = [old.target] if old.op == "get_attr" else old.args
        sets = node.target.partition(":")[2] in AUGMENTED and node.target.startswith("operator:")
        return node if sets and self._key_of(given) == self._key_of(place) else None

    def _key_of(self, place: Sequence[Argument]) -> Any:
        """Returns a key that is equal for equal places, in which attributes go by their names."""

        def named(value: Value) -> Argument:
            node = value.node
            is_read = node is not None and node.op == "get_attr" and self._is_inside(node)
            return ("self", node.target) if node is not None and is_read else value

        return key_of([map_values(part, named) for part in place])

    def _is_inside(self, node: Node) -> bool:
        """Returns whether a node is written inside of the expressions that use it."""
        return node in self._folding.folded or node in self._folding.copied

    def _is_target(self, node: Node, target: Code) -> bool:
        """Returns whether `target += ...` sets the variable that holds the output of the node, or,
        if nothing needs the output, one that nothing reads afterwards."""
        if node.outputs and node.outputs[0] in self._live.values:
            return target.text == self._variables.names[node.outputs[0]]
        value, nodes = node.args[0], node.block.nodes
        if not isinstance(value, Value) or target.text != self._variables.names.get(value):
            return False
        home = value.owner if value.is_input else value.owner.block
        before = nodes[: nodes.index(node) + 1]
        return home is node.block and all(user in before for user in value.users)

    # Blocks

    def _if(self, node: Node, indent: int) -> list[str]:
        returns = node in self._folding.tails
        condition = self._values.truth(node.args[0])
        then, other = node.blocks
        deep = indent + STEP
        if self._live.ends(then) or (returns and not self._live.ends(other)):
            first = self._block(then, deep, returns=returns)
            rest = self._block(other, indent, returns=returns)
            return [*_if_line(condition, indent), *first, *rest]
        if self._live.ends(other):
            first = self._block(other, deep, returns=returns)
            rest = self._block(then, indent, returns=returns)
            return [*_unless_line(condition, indent), *first, *rest]
        first = self._block(then, deep, returns=False)
        rest = self._block(other, deep, returns=False)
        if first:
            return [*_if_line(condition, indent), *first, *_else(rest, indent)]
        if rest:
            return [*_unless_line(condition, indent), *rest]
        return self._effect_of(node, condition, indent)

    def _effect_of(self, node: Node, condition: Code, indent: int) -> list[str]:
        """Returns the lines of an If without statements: its condition, if that has an effect."""
        inner = producer(node.args[0])
        if inner is None or inner not in self._folding.folded:
            return []
        writes = self._folding.writes(inner) or inner.op == "if"
        return lay_out("", condition, "", indent) if writes else []

    def _loop(self, node: Node, indent: int) -> list[str]:
        carried = self._live.carried(node)
        lines = self._copies([(inner, first) for inner, _, first in carried], indent)
        starts = self._starts(carried)
        trips, condition = node.args[0], node.args[1]
        test = self._while(node) if trips is None else None
        if test is None and condition is not True:
            lines += _if_line(self._truth_with(condition, starts), indent)
            lines += self._iterated(node, indent + STEP, None, starts)
        else:
            lines += self._iterated(node, indent, test, starts)
        return lines + self._copies(
            [(outer, inner) for inner, outer, _ in carried if outer in self._live.values], indent
        )

    def _starts(self, carried: list[tuple[Value, Value, Argument]]) -> dict[Value, Value]:
        """Returns which values the head reads in place of initial ones, those of the same variable
        if there are any."""
        names = self._variables.names
        starts: dict[Value, Value] = {}
        for inner, _, first in carried:
            if isinstance(first, Value) and names.get(first) == names[inner]:
                starts[first] = inner
            elif isinstance(first, Value):
                starts.setdefault(first, inner)
        return starts

    def _while(self, node: Node) -> Code | None:
        """Returns the condition of a `while`, if it is the same before the first iteration and
        after each one; else None."""
        body = node.blocks[0]
        if any(jump.target == CONTINUE for jump in jumps(node)):
            return None  # it goes on without a test
        firsts = {inner: first for inner, _, first in self._live.carried(node)}
        before = {result: firsts[inner] for result, inner in self._updates(body).items()}
        if not self._values.is_same(node.args[1], body.results[0], before):
            return None
        return self._truth_with(body.results[0], self._updates(body))

    def _updates(self, body: Block) -> dict[Value, Value]:
        """Returns which values of a loop are in the variables of carried ones after an iteration,
        each with the carried value."""
        return {r: v for v, r in self._live.results(body) if isinstance(r, Value)}

    def _truth_with(self, argument: Argument, others: Mapping[Value, Value]) -> Code:
        """Returns an argument as a condition, with other values read in place of some."""
        with self._values.reading(others):
            return self._values.truth(argument)

    def _iterated(
        self, node: Node, indent: int, test: Code | None, starts: Mapping[Value, Value]
    ) -> list[str]:
        """Returns the head and the body of a loop, left by `break` unless there is a test."""
        body = node.blocks[0]
        lines = self._block(body, indent + STEP, returns=False)
        condition = body.results[0]
        if test is None and condition is not True and not self._live.ends(body):
            lines += _unless_line(self._truth_with(condition, self._updates(body)), indent + STEP)
            lines.append(f"{' ' * (indent + 2 * STEP)}break")
        if node.args[0] is None:
            head = lay_out("while ", test or Code("True"), ":", indent)
        else:
            with self._values.reading(starts):
                head = self._for(node, indent)
        return [*head, *(lines or [f"{' ' * (indent + STEP)}pass"])]

    def _for(self, node: Node, indent: int) -> list[str]:
        """Returns the head of a loop that counts, or iterates over sequences."""
        iteration = self._folding.iterations.get(node)
        if iteration is None:
            target = Code(self._target(node.blocks[0].inputs[0]))
            code = layout.call("range", [self._writer.code(node.args[0])])
        else:
            over = self._writer.all(iteration.over)
            items = [self._item(sequence) for sequence in iteration.sequences]
            code = over[0] if len(over) == 1 else layout.call("zip", over)
            target = items[0] if len(over) == 1 else layout.tuple_of(items)
            if iteration.count in self._live.values:
                start = [Code(str(iteration.start))] if iteration.start else []
                code = layout.call("enumerate", [code, *start])
                target = layout.tuple_of([Code(self._target(iteration.count)), target])
        return lay_out(f"for {target.text} in ", code, ":", indent)

    def _item(self, sequence: IteratedSequence) -> Code:
        """Returns the target that is assigned the items of a sequence."""
        if sequence.parts:
            return layout.tuple_of([self._part(part) for part in sequence.parts])
        return Code(self._target(sequence.item))

    def _part(self, part: Any) -> Code:
        """Returns the target that is assigned a value, or the parts of one."""
        if type(part) is tuple:
            return layout.tuple_of([self._part(inner) for inner in part])
        return Code(self._target(part))

    def _target(self, value: Value | None) -> str:
        if value is None or value not in self._live.values:
            return self._variables.unused
        return self._variables.names[value]


def _if_line(condition: Code, indent: int) -> list[str]:
    return lay_out("if ", condition, ":", indent)


def _unless_line(condition: Code, indent: int) -> list[str]:
    return _if_line(negation(condition, plain=True), indent)


def _else(rest: list[str], indent: int) -> list[str]:
    """Returns the lines of an else; a single `if` in it becomes an `elif`."""
    if not rest:
        return []
    margin = " " * (indent + STEP)
    alone = rest[0].startswith(f"{margin}if ") and all(
        line.startswith((f"{margin} ", f"{margin}el", f"{margin})")) for line in rest[1:]
    )
    if alone:
        lifted = [line[STEP:] for line in rest]
        return [f"{' ' * indent}el{lifted[0][indent:]}", *lifted[1:]]
    return [f"{' ' * indent}else:", *rest]
