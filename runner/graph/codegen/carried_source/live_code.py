"""Whether the file of a user's module still has the code that is loaded."""

import ast
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from runner.graph.class_source.scopes import Uncopied, functions_of
from runner.graph.codegen.carried_source.source_module import SourceModule


def check_is_loaded(source: SourceModule, node: ast.stmt, dropped: frozenset[ast.AST]) -> None:
    """Raises Uncopied if a definition in a file is not what is loaded under its name: the file was
    changed since, or a method was replaced. What decorators return is not looked at."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    live = vars(source.live).get(node.name)
    if node.decorator_list and not isinstance(live, type):
        return
    for name, member in _functions(node, live, dropped):
        own = [each for each in functions_of(member) if isinstance(each, FunctionType)]
        written = source.codes.get(name, ())
        if own and not any(_is_same(each.__code__, code) for each in own for code in written):
            raise Uncopied(
                f"{name}() is not what {source.place} defines: the file was changed since it was "
                "imported, or the function was replaced"
            )


def _functions(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
    live: Any,
    dropped: frozenset[ast.AST],
) -> Iterator[tuple[str, Any]]:
    """Yields the functions of a definition, with their live objects."""
    if isinstance(node, ast.FunctionDef):
        yield node.name, live
    elif isinstance(node, ast.ClassDef) and isinstance(live, type):
        for inner in node.body:
            if not isinstance(inner, ast.FunctionDef) or inner.decorator_list or inner in dropped:
                continue
            hidden = inner.name.startswith("__") and not inner.name.endswith("__")
            name = f"_{node.name.lstrip('_')}{inner.name}" if hidden else inner.name
            if node.decorator_list and name == "__init__":
                continue  # `model_wrapper` wraps it
            yield f"{node.name}.{inner.name}", inspect.getattr_static(live, name, None)


def _is_same(one: CodeType, other: CodeType) -> bool:
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and _constants(one) == _constants(other)
    )


def _constants(code: CodeType) -> list[str]:
    return [repr(each) for each in code.co_consts if not isinstance(each, CodeType)]
