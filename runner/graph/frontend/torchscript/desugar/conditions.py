"""Conditions that call a method: TorchScript evaluates what the method belongs to twice.

`if self.gate(x).any():` would run the gate twice, with all that it draws and changes;
`if bool(self.gate(x).any()):` runs it once.
"""

import ast
from collections.abc import Iterator

from runner.graph.frontend.torchscript.desugar.source import FunctionSource, at


def evaluate_once(source: FunctionSource) -> None:
    """Rewrites conditions in which a call would be repeated."""
    for node in ast.walk(source.definition):
        for test in _tests(node):
            if _is_repeated(test):
                _wrap(source, node, test)


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions of a node of which only the truth counts."""
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        yield node.test
    elif isinstance(node, ast.BoolOp):
        yield from [*node.values]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand


def _is_repeated(test: ast.expr) -> bool:
    """Whether it is the call of a method of something that is called for."""
    if not isinstance(test, ast.Call) or not isinstance(test.func, ast.Attribute):
        return False
    return any(isinstance(node, ast.Call) for node in ast.walk(test.func.value))


def _wrap(source: FunctionSource, node: ast.AST, test: ast.expr) -> None:
    if "bool" in source.local:
        source.refuse(test, "TorchScript reads a variable `bool` here; give it another name")
    called = at(ast.Call(ast.Name("bool", ast.Load()), [test], []), test)
    if isinstance(node, ast.BoolOp):
        node.values[node.values.index(test)] = called
    elif isinstance(node, ast.UnaryOp):
        node.operand = called
    elif isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        node.test = called
