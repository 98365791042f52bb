"""Queries that TorchScript answers for itself: whether it compiles, traces or exports.

The graph describes the model as Python runs it, so queries get Python's answers, and only branches
that Python takes remain. Next to a query, plain attributes of the module decide as well (`if
self.checkpointing and not torch.jit.is_scripting()`): the code in such a branch is written for
Python alone, and TorchScript may not support it.
"""

import ast
from typing import Any, final

import torch
from torch import compiler, onnx

from runner.graph.frontend.torchscript.desugar.pure import evaluated, is_pure
from runner.graph.frontend.torchscript.source import UNKNOWN, FunctionSource, at

jit: Any = torch.jit  # has no types
_STATE = torch._C._get_tracing_state  # None unless tracing; a bool to TorchScript
_QUERIES = frozenset(
    {
        jit.is_scripting, jit.is_tracing, onnx.is_in_onnx_export, torch._utils.is_compiling,
        compiler.is_compiling, compiler.is_dynamo_compiling, compiler.is_exporting, _STATE,
    }
)  # fmt: skip
_OPTIONAL = ("grad", "_grad", "grad_fn", "_grad_fn", "_base")  # of tensors
_PLAIN = (bool, int, float, str, type(None))


def answer_queries(source: FunctionSource) -> None:
    """Replaces the queries in a function by Python's answers, and drops code that Python never
    runs."""
    for node in ast.walk(source.definition):
        if _is_decided(source, node):
            source.refuse(node, f"TorchScript folds {ast.unparse(node)} when it compiles")
    if not source.answers or not any(_is_query(source, n) for n in ast.walk(source.definition)):
        return
    answered = _Answered(source)
    definition = source.definition
    definition.body = answered.block(definition.body) or [at(ast.Pass(), definition)]
    for node in ast.walk(definition):
        if isinstance(node, ast.expr) and _is_query(source, node):
            source.refuse(node, f"{ast.unparse(node)} is used as a value. Call it where it is used")


def _is_decided(source: FunctionSource, node: ast.AST) -> bool:
    """Returns whether an optional attribute of a tensor is compared with None."""
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Is | ast.IsNot):
        return False
    left, right = node.left, node.comparators[0]
    is_none = isinstance(right, ast.Constant) and right.value is None
    if not is_none or not isinstance(left, ast.Attribute) or left.attr not in _OPTIONAL:
        return False
    return not isinstance(left.value, ast.Name) or left.value.id != source.itself


def _is_query(source: FunctionSource, node: ast.AST) -> bool:
    """Returns whether an expression refers to a query."""
    return _query(source, node) in _QUERIES


def _query(source: FunctionSource, node: ast.AST) -> Any:
    """Returns the callable that an expression refers to; "" for other expressions."""
    if not isinstance(node, ast.Name | ast.Attribute | ast.Call):
        return ""
    value = source.value_of(node)
    value = source.attribute(node) if value is UNKNOWN else value
    return value if callable(value) and getattr(value, "__hash__", None) is not None else ""


class _Shortening(ast.NodeTransformer):
    """A transformer that simplifies `and`, `or` and `not` with constant operands."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        return _shortened(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _negated(node)


@final
class _Answered(_Shortening):
    """A transformer that replaces queries by their answers, and conditionals these decide by the
    branch taken."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _is_query(self.source, node.func) and not node.args:
            return at(ast.Constant(False), node)
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        asks = isinstance(node.left, ast.Call) and _query(self.source, node.left.func) is _STATE
        is_none = (
            isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value is None
        )
        if asks and is_none and isinstance(node.ops[0], ast.Is | ast.IsNot):
            return at(ast.Constant(isinstance(node.ops[0], ast.Is)), node)
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        test = self._test(node.test, node)
        taken = _truth(test)
        body = [] if taken is False else self.block(node.body)
        rest = [] if taken is True else self.block(node.orelse)
        if taken is not None:
            return body if taken else rest
        node.test, node.body, node.orelse = test, body or [at(ast.Pass(), node)], rest
        return node

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        test = self._test(node.test, node)
        taken = _truth(test)
        if taken is not None:
            return self.visit(node.body if taken else node.orelse)
        node.test = test
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Returns the statements without those that are unreachable."""
        kept: list[ast.stmt] = []
        for statement in statements:
            found = self.visit(statement)
            kept += found if isinstance(found, list) else [found]
            if any(isinstance(s, ast.Return | ast.Raise) for s in kept):
                break
        return kept

    def _test(self, test: ast.expr, around: ast.AST) -> ast.expr:
        """Returns a condition with its queries answered. Attributes of the module decide it if a
        query occurs in the conditional."""
        asks = any(_is_query(self.source, n) for n in ast.walk(around))
        answered: ast.expr = self.visit(test)
        if not asks or _truth(answered) is not None:
            return answered
        frozen = _Frozen(self.source)
        decided = frozen.visit(ast.parse(ast.unparse(answered), mode="eval").body)
        if _truth(decided) is None:
            return answered
        for attribute in frozen.used:
            self.source.rely(attribute)
        return at(ast.Constant(_truth(decided)), test)


@final
class _Frozen(_Shortening):
    """A transformer that replaces plain attributes of the module by their values, and evaluates
    comparisons of these."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self.used: list[ast.Attribute] = []

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value = self.source.attribute(node)
        if type(value) not in _PLAIN or self.source.sets(node.attr):
            return node
        self.used.append(node)
        return ast.Constant(value)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if not all(isinstance(n, ast.Constant) for n in (node.left, *node.comparators)):
            return node
        try:
            return ast.Constant(evaluated(node))
        except TypeError:
            return node


def _truth(test: ast.expr) -> bool | None:
    """Returns the truth of a condition; None if it is not known."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        truth = _truth(test.operand)
        return None if truth is None else not truth
    if not isinstance(test, ast.BoolOp):
        return None
    stops = isinstance(test.op, ast.Or)
    truths = [*map(_truth, test.values)]
    if stops in truths:
        return stops if all(map(is_pure, test.values[: truths.index(stops)])) else None
    return None if None in truths else not stops


def _shortened(node: ast.BoolOp) -> ast.expr:
    """Simplifies `False or x` to `x` and `False and x` to `False`, as values too."""
    stops = isinstance(node.op, ast.Or)
    values: list[ast.expr] = []
    for value in node.values:
        truth = _truth(value)
        if (
            truth is (not stops)
            and isinstance(value, ast.Constant)
            and value is not node.values[-1]
        ):
            continue  # the next one decides
        values.append(value)
        if truth is stops and isinstance(value, ast.Constant):
            break
    return values[0] if len(values) == 1 else at(ast.BoolOp(node.op, values), node)


def _negated(node: ast.UnaryOp) -> ast.expr:
    """Simplifies `not False` to `True`."""
    known = isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Constant)
    return at(ast.Constant(_truth(node)), node) if known else node
