"""What an expression does beside giving a value, as far as its text tells."""

import ast
import warnings
from typing import Any

_QUIET_FUNCTIONS = frozenset({"isinstance", "len", "hasattr", "bool", "int", "float", "str"})
_QUIET_METHODS = frozenset(
    {"dim", "size", "numel", "is_floating_point", "ndimension", "is_complex", "keys", "values"}
)


def is_pure(node: ast.expr) -> bool:
    """Whether an expression only looks at values, so that it may be left out or moved."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and not _is_quiet(inner):
            return False
        if isinstance(inner, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom | ast.Lambda):
            return False
    return True


def is_name(node: ast.expr) -> bool:
    """Whether an expression is a constant, a name, or a chain of attributes of one, which can be
    written twice."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name | ast.Constant)


def _is_quiet(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in _QUIET_FUNCTIONS
    return isinstance(call.func, ast.Attribute) and call.func.attr in _QUIET_METHODS


def evaluated(node: ast.expr) -> Any:
    """The value of an expression of constants. Raises what evaluating it raises."""
    tree = ast.fix_missing_locations(ast.Expression(node))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd to write, as `1 is None`
        return eval(compile(tree, "<constants>", "eval"))
