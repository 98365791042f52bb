"""Types of numbers: to TorchScript, `n ** 2` and `round(r)` are floats, and True is no int.

Tests of such types are evaluated here; a conversion that TorchScript would drop is replaced by one
that it keeps.
"""

import ast
import builtins
from typing import Any, final

from runner.graph.frontend.torchscript.desugar.kinds import Kinds
from runner.graph.frontend.torchscript.desugar.pure import is_pure
from runner.graph.frontend.torchscript.source import UNKNOWN, FunctionSource, at, call

_NUMBERS = ("bool", "int", "float", "number")
_CLASSES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}


def type_numbers(source: FunctionSource) -> None:
    """Rewrites tests of the types of numbers, and conversions, to Python's semantics."""
    names = {node.id for node in ast.walk(source.definition) if isinstance(node, ast.Name)}
    if names & {"isinstance", "float", "round"}:
        _TypedNumbers(source).visit(source.definition)


@final
class _TypedNumbers(ast.NodeTransformer):
    """A transformer that replaces the tests and conversions in one function."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self.kinds = Kinds(source)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = self.source.value_of(node.func)
        kind = self.kinds.of(node.args[0]) if node.args and not node.keywords else ""
        self.generic_visit(node)
        if function is builtins.isinstance and len(node.args) == 2:
            return self._test(node, kind)
        if function is builtins.float and kind == "number":
            return at(ast.BinOp(node.args[0], ast.Mult(), ast.Constant(1.0)), node)
        if function is builtins.round and len(node.args) == 1 and kind in _NUMBERS:
            return at(call("int", node), node)
        return node

    def _test(self, node: ast.Call, kind: str) -> ast.expr:
        subject, asked = node.args
        classes = self._classes(asked)
        if classes is None or not kind:
            return node
        if kind in _CLASSES:
            answer = ast.Constant(issubclass(_CLASSES[kind], classes))
            if is_pure(subject):
                return at(answer, node)
            both = ast.Tuple([subject, answer], ast.Load())  # it is evaluated all the same
            return at(ast.Subscript(both, ast.Constant(1), ast.Load()), node)
        if kind == "number" and not {bool, int, float} <= {*classes}:
            self.source.refuse(
                node, f"whether {ast.unparse(subject)} is an int is only known at run time"
            )
        return node

    def _classes(self, node: ast.expr) -> tuple[type, ...] | None:
        """Returns the classes that are tested for; None if they are not known."""
        nodes = node.elts if isinstance(node, ast.Tuple) else [node]
        values: list[Any] = [self.source.value_of(inner) for inner in nodes]
        if all(value is not UNKNOWN and isinstance(value, type) for value in values):
            return tuple(values)
        return None
