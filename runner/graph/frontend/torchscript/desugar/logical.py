"""`or` and `and` as values, which are bools to TorchScript, as conditional expressions.

`a or b` becomes `a if a else b`. An operand that must not be evaluated twice is assigned to a
variable first; one that needs statements, but may not be evaluated, becomes a branch of an `if`. A
chain of comparisons is an `and` whose middle operand is evaluated once.

TorchScript evaluates an index up to three times, and the left operand of `%` twice: if evaluating
it may have an effect, it is assigned to a variable, too.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, final

from runner.graph.frontend.torchscript.desugar.effects import may_have_effect
from runner.graph.frontend.torchscript.desugar.kinds import Kinds
from runner.graph.frontend.torchscript.desugar.pure import is_name
from runner.graph.frontend.torchscript.source import (
    UNKNOWN,
    FunctionSource,
    assign,
    at,
    call,
    copied,
    load,
)


def give_operands(source: FunctionSource) -> None:
    """Rewrites `or`, `and` and chains of comparisons that are used as values, and operands that
    TorchScript evaluates more than once."""
    logical = _Logical(source)
    if logical.concerns(source.definition):
        source.definition.body = logical.block(source.definition.body)


def _is_logical(node: ast.AST) -> bool:
    """Returns whether a node is an `and`, an `or`, or a chain of comparisons."""
    return isinstance(node, ast.BoolOp) or (isinstance(node, ast.Compare) and len(node.ops) > 1)


def _repeated(node: ast.AST) -> list[ast.expr]:
    """Returns the operands that TorchScript evaluates more than once."""
    if isinstance(node, ast.Subscript):
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return [item for item in items if not isinstance(item, ast.Slice)]
    return [node.left] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) else []


@final
class _Logical:
    """A transformer of statements. Where `before` is an argument, statements that an expression
    needs to run first are appended to it."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self.kinds = Kinds(source)

    def concerns(self, node: ast.AST) -> bool:
        """Returns whether something in a node has to be rewritten."""
        return any(_is_logical(inner) or self._repeats(inner) for inner in ast.walk(node))

    def _repeats(self, node: ast.AST) -> bool:
        return any(may_have_effect(self.source, operand) for operand in _repeated(node))

    # Statements

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Returns statements with all of their expressions rewritten."""
        made: list[ast.stmt] = []
        for statement in statements:
            made += self._statement(statement)
        return made

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        before: list[ast.stmt] = []
        if isinstance(node, ast.If):
            node.test = self.test(node.test, before)
        elif isinstance(node, ast.While):
            return self._while(node)
        elif isinstance(node, ast.For):
            node.iter = self.value(node.iter, before)
        elif isinstance(node, ast.With):
            for item in node.items:
                item.context_expr = self.value(item.context_expr, before)
        elif isinstance(node, ast.Assert):
            node.test = self.test(node.test, before)
            if node.msg is not None:
                node.msg = self._at_once(node.msg)
        elif isinstance(node, ast.Assign):
            node.value, *node.targets = self._assigned(node, before)
        elif isinstance(node, ast.AugAssign):
            node.value = self.value(node.value, before)
            if before and not isinstance(node.target, ast.Name):
                self.source.refuse(node, "assign the right-hand side to a variable first")
        elif isinstance(node, ast.AnnAssign | ast.Return | ast.Expr) and node.value is not None:
            node.value = self.value(node.value, before)
        elif isinstance(node, ast.Raise) and node.exc is not None:
            node.exc = self.value(node.exc, before)
        for name in ("body", "orelse"):
            if isinstance(inner := getattr(node, name, None), list):
                setattr(node, name, self.block(inner))
        return [*before, node]

    def _assigned(self, node: ast.Assign, before: list[ast.stmt]) -> list[ast.expr]:
        """Returns the value of an assignment, followed by its targets."""
        if len(node.targets) > 1 and any(map(self.concerns, node.targets)):
            self.source.refuse(node, "assign to one target at a time")
        return self._in_order([node.value, *node.targets], before)

    def _while(self, node: ast.While) -> list[ast.stmt]:
        """Returns a loop whose condition, if it needs statements, is evaluated in the body."""
        before: list[ast.stmt] = []
        test = self.test(node.test, before)
        node.body = self.block(node.body)
        if before:
            leave = ast.If(ast.UnaryOp(ast.Not(), test), [ast.Break()], [])
            node.body = [*before, at(leave, test), *node.body]
            test = at(ast.Constant(True), test)
        node.test = test
        return [node]

    # Expressions

    def value(self, node: ast.expr, before: list[ast.stmt]) -> ast.expr:
        """Rewrites an expression whose value is used."""
        if not self.concerns(node):
            return node
        if isinstance(node, ast.Compare) and len(node.ops) > 1:
            node = self._chain(node, before)
        if isinstance(node, ast.BoolOp):
            if all(map(self.kinds.is_bool, node.values)):
                return self.test(node, before)
            return self._chosen(node, node.values, before)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            node.operand = self.test(node.operand, before)
            return node
        if isinstance(node, ast.IfExp):
            return self._conditional(node, before)
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
            return self._comprehension(node, before)
        if isinstance(node, ast.Call) and _is_bool(node):
            node.args = [self.test(node.args[0], before)]
            return node
        return self._parts(node, before)

    def test(self, node: ast.expr, before: list[ast.stmt]) -> ast.expr:
        """Rewrites an expression of which only the truth counts."""
        if isinstance(node, ast.Compare) and len(node.ops) > 1:
            node = self._chain(node, before)
        if not isinstance(node, ast.BoolOp):
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                node.operand = self.test(node.operand, before)
                return node
            return self.value(node, before)
        first, *others = node.values
        values, late = [self.test(first, before)], list[ast.stmt]()
        for other in others:
            values.append(self.test(other, late))
            if late:
                return self._tested(node, values, others[len(values) - 1 :], late, before)
        node.values = values
        return node

    def _tested(
        self, node: ast.BoolOp, values: list[ast.expr], rest: list[ast.expr],
        late: list[ast.stmt], before: list[ast.stmt],
    ) -> ast.expr:  # fmt: skip
        """Rewrites an `and`/`or` condition whose operands need statements, as an `if`."""
        *early, last = values
        first = early[0] if len(early) == 1 else at(ast.BoolOp(node.op, early), node)
        if rest:
            last = self.test(at(ast.BoolOp(node.op, [last, *rest]), node), late)
        if not self.kinds.is_bool(last):
            last = at(call("bool", last), node)
        short_circuit = _Evaluated(at(ast.Constant(isinstance(node.op, ast.Or)), node))
        return self._one_of(node, first, short_circuit, _Evaluated(last, late), before)

    def _chosen(self, node: ast.BoolOp, values: list[ast.expr], before: list[ast.stmt]) -> ast.expr:
        """Rewrites an `or` or `and` to the operand it evaluates to."""
        first = self.value(values[0], before)
        if len(values) == 1:
            return first
        if not self._is_twice(first):
            first = self._named(first, before)
        late: list[ast.stmt] = []
        other = _Evaluated(self._chosen(node, values[1:], late), late)
        return self._one_of(node, self._truth(first), _Evaluated(copied(first)), other, before)

    def _one_of(
        self, node: ast.BoolOp, test: ast.expr, first: "_Evaluated", other: "_Evaluated",
        before: list[ast.stmt],
    ) -> ast.expr:  # fmt: skip
        """Returns the result of an `or` or `and`: the first operand, or the other one."""
        pair = (first, other) if isinstance(node.op, ast.Or) else (other, first)
        return self._either(node, test, *pair, before)

    def _either(
        self, node: ast.expr, test: ast.expr, body: "_Evaluated", orelse: "_Evaluated",
        before: list[ast.stmt],
    ) -> ast.expr:  # fmt: skip
        """Returns a conditional expression, or a variable that an `if` sets if a part needs
        statements."""
        if not body.before and not orelse.before:
            return at(ast.IfExp(test, body.value, orelse.value), node)
        name = self.source.fresh("value")
        branches = ([*b.before, assign(name, b.value)] for b in (body, orelse))
        before.append(at(ast.If(test, *branches), node))
        return at(load(name), node)

    def _conditional(self, node: ast.IfExp, before: list[ast.stmt]) -> ast.expr:
        test = self.test(node.test, before)
        body, orelse = self._late(node.body), self._late(node.orelse)
        return self._either(node, test, body, orelse, before)

    def _late(self, node: ast.expr) -> "_Evaluated":
        late: list[ast.stmt] = []
        return _Evaluated(self.value(node, late), late)

    def _chain(self, node: ast.Compare, before: list[ast.stmt]) -> ast.BoolOp:
        """Rewrites a chain of comparisons to an `and`."""
        left, middle = self._in_order([node.left, node.comparators[0]], before)
        if not self._is_twice(middle):
            left = left if self._is_stable(left) else self._named(left, before)
            middle = self._named(middle, before)
        first = ast.Compare(left, node.ops[:1], [middle])
        others = ast.Compare(copied(middle), node.ops[1:], node.comparators[1:])
        return at(ast.BoolOp(ast.And(), [at(first, node), at(others, node)]), node)

    def _comprehension(self, node: Any, before: list[ast.stmt]) -> ast.expr:
        outer, *inner = node.generators
        outer.iter = self.value(outer.iter, before)
        for name in ("elt", "key", "value"):
            if (part := getattr(node, name, None)) is not None:
                setattr(node, name, self._at_once(part))
        for generator in node.generators:
            generator.ifs = [self._at_once(test, truth=True) for test in generator.ifs]
        for generator in inner:
            generator.iter = self._at_once(generator.iter)
        found: ast.expr = node
        return found

    def _at_once(self, node: ast.expr, *, truth: bool = False) -> ast.expr:
        """Rewrites an expression where no statement can precede it. Raises GraphError if it
        needs one."""
        late: list[ast.stmt] = []
        text = ast.unparse(node)
        found = self.test(node, late) if truth else self.value(node, late)
        if late:
            self.source.refuse(
                node,
                f"{text} is a bool to TorchScript. Write `b if a is None else a`, or assign "
                "its parts to variables first"
                if any(map(_is_logical, ast.walk(node)))
                else f"TorchScript evaluates a part of {text} twice. Assign it to a variable first",
            )
        return found

    def _parts(self, node: ast.expr, before: list[ast.stmt]) -> ast.expr:
        """Rewrites any other expression: its operands in the order of evaluation."""
        operands, repeated = [*_operands(node)], _repeated(node)
        parts = [holder[key] for holder, key in operands]
        once = [
            any(part is r for r in repeated) and may_have_effect(self.source, part)
            for part in parts
        ]
        for (holder, key), part in zip(operands, self._in_order(parts, before, once), strict=True):
            holder[key] = part
        return node

    def _in_order(
        self, parts: list[ast.expr], before: list[ast.stmt], once: Sequence[bool] = ()
    ) -> list[ast.expr]:
        """Rewrites expressions that are evaluated in this order: those that precede statements
        of a later one, and those to evaluate `once`, are assigned to variables."""
        found: list[ast.expr] = []
        for part, alone in zip(parts, once or repeat(False), strict=False):
            late: list[ast.stmt] = []
            value = self.value(part, late)
            if alone:
                value = self._named(value, late)
            if late:
                found = [p if self._is_stable(p) else self._named(p, before) for p in found]
                before += late
            found.append(value)
        return found

    def _is_stable(self, node: ast.expr) -> bool:
        """Returns whether an expression has the same value later on."""
        if isinstance(node, ast.Constant | ast.Name):
            return True
        return self.source.value_of(node) is not UNKNOWN

    def _is_twice(self, node: ast.expr) -> bool:
        """Returns whether an expression may be written twice."""
        if isinstance(node, ast.Constant | ast.Name):
            return True
        return isinstance(node, ast.Attribute) and self.kinds.of(node) != ""

    def _truth(self, node: ast.expr) -> ast.expr:
        """Returns the condition that a value is true, in a form that TorchScript supports."""
        kind = self.kinds.of(node)
        if kind == "none":
            return at(ast.Constant(False), node)
        if kind in ("list", "tuple", "dict", "str"):
            return at(
                ast.Compare(call("len", copied(node)), [ast.NotEq()], [ast.Constant(0)]), node
            )
        if kind:
            return copied(node)
        there = ast.Compare(copied(node), [ast.IsNot()], [ast.Constant(None)])
        return at(ast.BoolOp(ast.And(), [there, copied(node)]), node)

    def _named(self, node: ast.expr, before: list[ast.stmt]) -> ast.expr:
        """Assigns an expression to a new variable, and returns that."""
        name = self.source.fresh("value")
        before.append(at(assign(name, node), node))
        return at(load(name), node)


@final
@dataclass
class _Evaluated:
    """An expression, and statements that have to run before it."""

    value: ast.expr
    before: list[ast.stmt] = field(default_factory=list)


_WRAPPERS = (ast.Slice, ast.Starred, ast.keyword, ast.FormattedValue)


def _operands(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the operands of a node in the order of evaluation, each as the list or namespace that
    holds it and its index or name there."""
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Attribute | ast.Name):
            yield vars(node), "func"
        elif not is_name(node.func):
            yield vars(node.func), "value"
    if isinstance(node, ast.Dict):
        for index, key in enumerate(node.keys):
            if key is not None:
                yield node.keys, index
            yield node.values, index
        return
    for name, found in ast.iter_fields(node):
        if isinstance(node, ast.Call) and name == "func":
            continue
        items: Any = enumerate(found) if isinstance(found, list) else [(name, found)]
        for index, inner in items:
            sliced = isinstance(inner, ast.Tuple) and isinstance(node, ast.Subscript)
            if isinstance(inner, _WRAPPERS) or sliced:
                yield from _operands(inner)
            elif isinstance(inner, ast.expr):
                yield (found if isinstance(found, list) else vars(node)), index


def _is_bool(node: ast.Call) -> bool:
    named = isinstance(node.func, ast.Name) and node.func.id == "bool"
    return named and len(node.args) == 1 and not node.keywords
