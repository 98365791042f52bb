"""Conditions that call a method: TorchScript evaluates the receiver twice.

`if self.gate(x).any():` would run the gate twice, with all its effects; `if
bool(self.gate(x).any()):` runs it once.
"""

import ast
from collections.abc import Iterator
from typing import Any

from runner.graph.frontend.torchscript.source import FunctionSource, at, call


def evaluate_once(source: FunctionSource) -> None:
    """Rewrites conditions in which a call would be repeated."""
    for node in ast.walk(source.definition):
        for holder, key in _tests(node):
            if _is_repeated(test := holder[key]):
                if "bool" in source.local:
                    source.refuse(test, "`bool` is a variable here; rename it")
                holder[key] = at(call("bool", test), test)


def _tests(node: ast.AST) -> Iterator[tuple[Any, Any]]:
    """Yields the operands of a node of which only the truth counts, each as the list or namespace
    that holds it and its index or name there."""
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        yield vars(node), "test"
    elif isinstance(node, ast.BoolOp):
        yield from ((node.values, index) for index in range(len(node.values)))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield vars(node), "operand"


def _is_repeated(test: ast.expr) -> bool:
    """Returns whether a condition calls a method of the result of a call."""
    if not isinstance(test, ast.Call) or not isinstance(test.func, ast.Attribute):
        return False
    return any(isinstance(node, ast.Call) for node in ast.walk(test.func.value))
