"""Purity and values of expressions, as far as the source tells."""

import ast
import warnings
from collections.abc import Mapping
from typing import Any

from runner.graph.frontend.torchscript.source import copied

_QUIET_FUNCTIONS = frozenset({"isinstance", "len", "hasattr", "bool", "int", "float", "str"})
_QUIET_METHODS = frozenset(
    {"dim", "size", "numel", "is_floating_point", "ndimension", "is_complex", "keys", "values"}
)


def is_pure(node: ast.expr) -> bool:
    """Returns whether an expression has no effects, so that it may be dropped or moved."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and not _is_quiet(inner):
            return False
        if isinstance(inner, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom | ast.Lambda):
            return False
    return True


def root_of(node: ast.expr, *, subscripts: bool = False) -> ast.expr:
    """Returns the root of a chain of attributes, and of `subscripts` too."""
    while isinstance(node, ast.Attribute) or (subscripts and isinstance(node, ast.Subscript)):
        node = node.value
    return node


def is_name(node: ast.expr) -> bool:
    """Returns whether an expression can be written twice: a constant, a name, or its attributes."""
    return isinstance(root_of(node), ast.Name | ast.Constant)


def _is_quiet(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in _QUIET_FUNCTIONS
    return isinstance(call.func, ast.Attribute) and call.func.attr in _QUIET_METHODS


def evaluated(node: ast.expr, names: Mapping[str, Any] | None = None) -> Any:
    """Evaluates an expression of constants and known names; errors of evaluation propagate."""
    tree = ast.fix_missing_locations(ast.Expression(copied(node)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd to write, as `1 is None`
        return eval(compile(tree, "<constants>", "eval"), {**(names or {})})
