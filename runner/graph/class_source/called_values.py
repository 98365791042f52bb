"""Values that classes call, or may call: `self.p()` where p is a number."""

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

from runner.graph.class_source.scopes import is_foreign
from runner.nn.values.expression import Expression

_USUAL = frozenset({*dir(Tensor), *dir(nn.Module), *dir(str), *dir(dict), *dir(list)})


def called_values(module: nn.Module, called_names: Callable[[Any], frozenset[str]]) -> list[str]:
    """Returns the names of attributes that hold a value, and that the class calls:
    `self.width()`. `called_names` is the function of this name, or a cache of it."""
    kinds = (int, float, str, tuple, list, dict, Expression)
    own = vars(module)
    cls: Any = type(module)
    names = sorted(called_names(cls))
    return [name for name in names if isinstance(own.get(name), kinds)]


def may_call(cls: type) -> bool:
    """Returns whether a user class, or a function it uses, contains a call without arguments of
    something that may be a value: not of a class, a function or a common method."""
    return any(_has_call(tree, names) for tree, names in _sources(cls, set()))


def _sources(thing: Any, seen: set[Any]) -> Iterator[tuple[ast.AST | None, dict[str, Any]]]:
    """Yields the syntax trees of a class and its bases, or of a function, and of the functions
    they use, each with the globals it sees; None for one without source."""
    parts = thing.__mro__ if isinstance(thing, type) else (thing,)
    for part in parts:
        home = getattr(part, "__module__", None) or ""
        if part in seen or not is_foreign(home):
            continue
        seen.add(part)
        names = vars(sys.modules[home]) if home in sys.modules else {}
        try:
            tree: ast.AST | None = ast.parse(textwrap.dedent(inspect.getsource(part)))
        except (OSError, TypeError, SyntaxError):
            tree = None
        yield tree, names
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(found := _named(node, names), FunctionType):
                yield from _sources(found, seen)


def _named(node: ast.AST, names: dict[str, Any]) -> Any:
    """Returns the value of a name, or of an attribute of a module; None for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id, getattr(builtins, node.id, None))
    if isinstance(node, ast.Attribute) and isinstance(
        owner := _named(node.value, names), ModuleType
    ):
        return getattr(owner, node.attr, None)
    return None


def _has_call(tree: ast.AST | None, names: dict[str, Any]) -> bool:
    if tree is None:
        return True
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and not n.args and not n.keywords)
    return any(_may_be_value(call.func, names) for call in calls)


def _may_be_value(called: ast.expr, names: dict[str, Any]) -> bool:
    if _named(called, names) is not None:
        return False
    if not isinstance(called, ast.Attribute):
        return True
    if isinstance(called.value, ast.Name) and called.value.id == "self":
        return called.attr not in dir(nn.Module)
    return called.attr not in _USUAL
