"""Source and scopes: the definitions of classes and functions, with their global names."""

import ast
import builtins
import dis
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, final

from runner.errors import GraphError

Definition = ast.FunctionDef | ast.AsyncFunctionDef
# Builtins that the source of a model must not call.
_REFUSED = {
    *("__import__", "breakpoint", "compile", "eval", "exec", "globals", "input"),
    *("locals", "memoryview", "open", "vars", "exit", "quit", "help"),
}
BUILTINS = frozenset(name for name in dir(builtins) if name not in _REFUSED)
KNOWN = sys.stdlib_module_names | {"torch"}  # modules that any source may import


class Uncopied(GraphError):
    """Raised if a method cannot be copied; the message says why."""


def is_foreign(module: str | None) -> bool:
    """Returns whether a module belongs to neither torch nor the standard library."""
    return (module or "").partition(".")[0] not in KNOWN


def definitions(cls: Any) -> dict[str, list[Definition]]:
    """Returns the methods in the source of a class by name, several for a property's accessors."""
    try:
        text = textwrap.dedent(inspect.getsource(cls))
        body = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise Uncopied(f"the source of {cls.__name__} cannot be read ({error})") from error
    found: dict[str, list[Definition]] = {}
    if isinstance(body, ast.ClassDef):
        for node in body.body:
            if isinstance(node, Definition):
                found.setdefault(_mangled(node.name, cls), []).append(node)
    return found


def definition(function: FunctionType) -> Definition:
    """Returns the syntax tree of a module-level function. Raises Uncopied for a lambda."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise Uncopied(f"the source of {function.__name__} cannot be read ({error})") from error
    if not isinstance(body, Definition):
        raise Uncopied(f"{function.__name__} is a lambda")
    return body


def _mangled(name: str, cls: Any) -> str:
    """Applies name mangling to a name in the source of a class."""
    hidden = name.startswith("__") and not name.endswith("__")
    return f"_{cls.__name__.lstrip('_')}{name}" if hidden else name


def mangled(name: str, cls: Any) -> str:
    """Applies name mangling to a name in the source of a class; None for that of a function."""
    return name if cls is None else _mangled(name, cls)


@final
@dataclass(frozen=True)
class DefinitionScope:
    """The names in a function and in the functions nested in it."""

    code: CodeType
    outer: frozenset[str]  # globals and builtins that it reads
    own: frozenset[str]  # parameters and local variables


def scope(node: Definition, cls: Any) -> DefinitionScope:
    """Returns the scope of a definition in a class, or at module level if `cls` is None. Raises
    Uncopied if it assigns a global, or if a name is global in one place and local in another."""
    name = "Class" if cls is None else cls.__name__
    module = ast.parse(f"class {name}: pass")
    module.body[0].body = [node]  # type: ignore[attr-defined]
    around = next(_codes_in(compile(module, "<copied>", "exec", dont_inherit=True)))
    code = next(inner for inner in _codes_in(around) if inner.co_name == node.name)
    inside = [*codes(code)]
    own = frozenset(n for c in inside for n in (*c.co_varnames, *c.co_cellvars))
    steps = [step for c in inside for step in dis.get_instructions(c)]
    if stored := [s.argval for s in steps if s.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")]:
        raise Uncopied(f"{node.name}() changes the global {stored[0]!r}")
    outer = frozenset(s.argval for s in steps if s.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    if both := sorted(outer & own):
        raise Uncopied(f"{both[0]!r} is a global and a local name in {node.name}()")
    return DefinitionScope(code, outer, own)


def check_is_run(node: Definition, code: CodeType, functions: list[FunctionType]) -> None:
    """Raises Uncopied if a definition compiles to none of the functions, or they are closures."""
    if not any(_alike(function.__code__, code) for function in functions):
        raise Uncopied(f"{node.name}() is not defined by the source of its class")
    free = {n for f in functions for n in f.__code__.co_freevars} - {"__class__"}
    if free:
        raise Uncopied(f"{node.name}() uses {sorted(free)[0]!r} of an enclosing function")


def _alike(one: CodeType, other: CodeType) -> bool:
    return _steps(one) == _steps(other) and _plain(one) == _plain(other)


def _steps(code: CodeType) -> list[tuple[str, object]]:
    """Returns the normalized instructions of a code object: Python compiles method calls of an
    imported name differently if the import is part of the same source."""
    return [
        (step.opname.replace("LOAD_METHOD", "LOAD_ATTR"), step.argval)
        for step in dis.get_instructions(code)
        if step.opname not in ("PUSH_NULL", "NOP", "LOAD_CONST")
        if "JUMP" not in step.opname and not isinstance(step.argval, CodeType)
    ]


def _plain(code: CodeType) -> list[str]:
    return [repr(value) for value in code.co_consts if not isinstance(value, CodeType)]


def functions_of(member: Any) -> list[FunctionType]:
    """Returns the functions of a class member, several for a property, without decorators."""
    if isinstance(member, property):
        parts = [member.fget, member.fset, member.fdel]
    else:
        parts = [getattr(member, "__func__", member)]
    found = [inspect.unwrap(part) for part in parts if callable(part)]
    return [part for part in found if isinstance(part, FunctionType)]


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yields a code object and all those nested in it."""
    yield code
    for inner in _codes_in(code):
        yield from codes(inner)


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
