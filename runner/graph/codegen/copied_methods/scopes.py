"""The source of classes and functions, and which names in it are global."""

import ast
import dis
import functools
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, final

from runner.errors import GraphError

Definition = ast.FunctionDef | ast.AsyncFunctionDef
KNOWN = sys.stdlib_module_names | {"torch"}  # what any source may import


class Uncopied(GraphError):
    """A method cannot be copied; the text says what hinders it."""


def is_foreign(module: str | None) -> bool:
    """Whether a module is neither torch's nor of the standard library."""
    return (module or "").partition(".")[0] not in KNOWN


@functools.lru_cache(maxsize=512)
def definitions(cls: Any) -> dict[str, list[Definition]]:
    """The methods in the source of a class, by name; several of one for a property's parts."""
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
    """The source of a function at the top of a module."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise Uncopied(f"the source of {function.__name__} cannot be read ({error})") from error
    if not isinstance(body, Definition):
        raise Uncopied(f"{function.__name__} is a lambda")
    return body


def _mangled(name: str, cls: Any) -> str:
    """A name in the source of a class, as Python calls it."""
    hidden = name.startswith("__") and not name.endswith("__")
    return f"_{cls.__name__.lstrip('_')}{name}" if hidden else name


def mangled(name: str, cls: Any) -> str:
    """A name in the source of a class, or of a function where that is None, as Python calls it."""
    return name if cls is None else _mangled(name, cls)


@final
@dataclass(frozen=True)
class DefinitionScope:
    """Names of a function and of those inside it."""

    code: CodeType
    outer: frozenset[str]  # read from the module, or from Python itself
    own: frozenset[str]  # its parameters and variables


def scope(node: Definition, cls: Any) -> DefinitionScope:
    """The names of a definition in a class, or at the top of a module where that is None. Raises
    Uncopied for one that changes a global, or whose names mean different things in it."""
    name = "Class" if cls is None else cls.__name__
    module = ast.parse(f"class {name}: pass")
    module.body[0].body = [node]  # type: ignore[attr-defined]
    around = next(_codes_in(compile(module, "<copied>", "exec", dont_inherit=True)))
    code = next(inner for inner in _codes_in(around) if inner.co_name == node.name)
    inside = [*_codes(code)]
    own = frozenset(n for c in inside for n in (*c.co_varnames, *c.co_cellvars))
    steps = [step for c in inside for step in dis.get_instructions(c)]
    if stored := [s.argval for s in steps if s.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")]:
        raise Uncopied(f"{node.name}() changes the global {stored[0]!r}")
    outer = frozenset(s.argval for s in steps if s.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    if both := sorted(outer & own):
        raise Uncopied(f"{both[0]!r} is a global and a local name in {node.name}()")
    return DefinitionScope(code, outer, own)


def check_is_run(node: Definition, code: CodeType, functions: list[FunctionType]) -> None:
    """Raises Uncopied where none of some functions is what a definition makes."""
    if not any(_alike(function.__code__, code) for function in functions):
        raise Uncopied(f"{node.name}() is not what the source of its class defines")
    free = {n for f in functions for n in f.__code__.co_freevars} - {"__class__"}
    if free:
        raise Uncopied(f"{node.name}() uses {sorted(free)[0]!r} of a function around it")


def _alike(one: CodeType, other: CodeType) -> bool:
    return _steps(one) == _steps(other) and _plain(one) == _plain(other)


def _steps(code: CodeType) -> list[tuple[str, object]]:
    """What a code does, without how: methods of imported names are looked up in another way where
    the import is compiled with them."""
    return [
        (step.opname.replace("LOAD_METHOD", "LOAD_ATTR"), step.argval)
        for step in dis.get_instructions(code)
        if step.opname not in ("PUSH_NULL", "NOP", "LOAD_CONST")
        if "JUMP" not in step.opname and not isinstance(step.argval, CodeType)
    ]


def _plain(code: CodeType) -> list[str]:
    return [repr(value) for value in code.co_consts if not isinstance(value, CodeType)]


def functions_of(member: Any) -> list[FunctionType]:
    """The functions that a member of a class consists of, without what decorates them."""
    if isinstance(member, property):
        parts = [member.fget, member.fset, member.fdel]
    else:
        parts = [getattr(member, "__func__", member)]
    found = [inspect.unwrap(part) for part in parts if callable(part)]
    return [part for part in found if isinstance(part, FunctionType)]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code and all inside it."""
    yield code
    for inner in _codes_in(code):
        yield from _codes(inner)


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
