"""Verification of generated source: only syntax and names that the generator emits."""

import ast
from functools import lru_cache

from runner.errors import GraphError
from runner.python_operators import AUGMENTED, METHODS, REFLECTED

_TOP = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.Expr)
_STATEMENTS = (
    *(ast.FunctionDef, ast.ClassDef, ast.Return, ast.Assign, ast.AugAssign, ast.Delete, ast.For),
    *(ast.While, ast.If, ast.With, ast.Raise, ast.Expr, ast.Pass, ast.Break, ast.Continue),
    *(ast.Import, ast.ImportFrom, ast.alias, ast.arguments, ast.arg, ast.withitem, ast.Module),
)
_EXPRESSIONS = (
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.ListComp, ast.comprehension),
    *(ast.Compare, ast.Call, ast.keyword, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred),
    *(ast.Name, ast.List, ast.Tuple, ast.Slice, ast.JoinedStr, ast.FormattedValue),
)
_ABSTRACT = (ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context)
_ALLOWED = frozenset(
    {*_STATEMENTS, *_EXPRESSIONS, *(k for base in _ABSTRACT for k in base.__subclasses__())}
)
# Names with leading and trailing double underscores that a source may contain.
_SPECIAL = frozenset(
    {
        *("__init__", "__new__", "__file__", "__len__", "__contains__", "__getitem__"),
        *("__setitem__", "__delitem__", "__iter__", "__enter__", "__exit__", "__name__"),
        *("__version__", "__call__", "__abs__", "__index__", "__int__", "__float__"),
        *("__idiv__", *METHODS, *REFLECTED, *(f"__{name}__" for name in AUGMENTED)),
    }
)
_CALLABLE_AT_TOP = "load_file"


@lru_cache(maxsize=2048)
def verify(source: str) -> None:
    """Raises GraphError if a source has syntax errors, contains any syntax that `generate` does
    not emit, or uses a name with a special meaning in Python.

    Verified sources are cached: the samples of a search share most of their classes.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise GraphError(f"The generated source cannot be parsed: {error}.") from error
    for statement in tree.body:
        _check_top(statement)
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        kind = type(node)
        if kind not in _ALLOWED:
            raise GraphError(f"Generated source must not contain {kind.__name__}, {_line(node)}.")
        if kind is ast.Name or kind is ast.Attribute:
            name = node.id if isinstance(node, ast.Name) else node.attr  # type: ignore[attr-defined]
            if name[:2] == name[-2:] == "__" and name not in _SPECIAL:
                raise GraphError(f"Generated source must not use the name {name!r}, {_line(node)}.")
        for field in node._fields:
            value = getattr(node, field)
            if type(value) is list:
                waiting += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                waiting.append(value)


def _line(node: ast.AST) -> str:
    return f"line {getattr(node, 'lineno', '?')}"


def _check_top(statement: ast.stmt) -> None:
    """Allows only definitions, imports, the docstring, and constants loaded from a file."""
    allowed = isinstance(statement, _TOP)
    if isinstance(statement, ast.Expr):
        allowed = isinstance(statement.value, ast.Constant)
    elif isinstance(statement, ast.Assign):
        value = statement.value
        allowed = isinstance(value, ast.Call) and ast.unparse(value.func) == _CALLABLE_AT_TOP
    if not allowed:
        kind = type(statement).__name__
        raise GraphError(f"Generated source must not have {kind} at the top, {_line(statement)}.")
