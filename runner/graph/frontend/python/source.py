"""The source of living functions: their syntax trees, compared with the code that runs."""

import ast
import linecache
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from types import CodeType, FunctionType
from typing import final

from runner.errors import GraphError

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_REWRITTEN = "@pytest_ar"  # in functions whose assertions pytest rewrote


class Unreadable(GraphError):
    """Source that has no form in the IR; the text names file and line."""


class Restart(Exception):
    """Raised when a method is found to change an attribute that was taken to be constant."""


@final
@dataclass(frozen=True, eq=False)
class FunctionDefinition:
    """The definition of a function: its syntax tree, and the file it is in."""

    node: FunctionNode
    file: str

    @property
    def body(self) -> list[ast.stmt]:
        """The statements; of a lambda, a `return`."""
        if not isinstance(self.node, ast.Lambda):
            return self.node.body
        value = ast.Return(self.node.body)
        return [ast.copy_location(value, self.node.body)]


def positional(node: FunctionNode) -> list[str]:
    """Returns the names of the parameters of a function that are passed by position."""
    return [each.arg for each in (*node.args.posonlyargs, *node.args.args)]


def place(file: str, node: ast.AST) -> str:
    """Returns the place of a node in a file, "net.py:20"."""
    return f"{PurePath(file).name}:{getattr(node, 'lineno', 0)}"


@final
class FunctionSources:
    """The sources of files, each parsed once."""

    def __init__(self) -> None:
        self._files: dict[str, _File | None] = {}
        self._known: dict[CodeType, FunctionDefinition] = {}

    def definition(self, function: FunctionType) -> FunctionDefinition:
        """Returns the definition of a function. Raises Unreadable if its source is missing, or has
        changed since it was loaded."""
        if not isinstance(function, FunctionType):
            raise Unreadable(f"{function!r:.80} has no source")
        code = function.__code__
        if code not in self._known:
            file = self._file(code.co_filename, function)
            node = None if file is None else file.node(code)
            if node is None:
                name = getattr(function, "__qualname__", code.co_name)
                raise Unreadable(
                    f"{PurePath(code.co_filename).name}:{code.co_firstlineno}: the source of "
                    f"{name} is not available, or has changed since it was imported"
                )
            self._known[code] = FunctionDefinition(node, code.co_filename)
        return self._known[code]

    def _file(self, name: str, function: FunctionType) -> "_File | None":
        if name not in self._files:
            text = "".join(linecache.getlines(name, function.__globals__))
            try:
                fixed = (function.__module__ or "").startswith("torch.")  # it is not edited
                self._files[name] = _File(text, name, checked=not fixed) if text else None
            except SyntaxError:
                self._files[name] = None
        return self._files[name]


@final
class _File:
    """The functions of a file, by the line of their first character and their name."""

    def __init__(self, text: str, name: str, *, checked: bool) -> None:
        self._tree = ast.parse(text, name)
        self._name = name
        self._checked = checked
        self._nodes: dict[tuple[int, str], list[FunctionNode]] = defaultdict(list)
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Lambda):
                self._nodes[node.lineno, "<lambda>"].append(node)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                self._nodes[first, node.name].append(node)

    @cached_property
    def _codes(self) -> dict[tuple[int, str], list[CodeType]]:
        codes: dict[tuple[int, str], list[CodeType]] = defaultdict(list)
        compiled = compile(self._tree, self._name, "exec", dont_inherit=True)
        for code in _inside(compiled):
            codes[code.co_firstlineno, code.co_name].append(code)
        return codes

    def node(self, code: CodeType) -> FunctionNode | None:
        """Returns the node of a function's code; None if there is none that compiles to it."""
        key = code.co_firstlineno, code.co_name
        nodes = [
            node for node in self._nodes[key] if len(self._nodes[key]) == 1 or _is_at(node, code)
        ]
        same = not self._checked or any(_is_same(other, code) for other in self._codes[key])
        return nodes[0] if len(nodes) == 1 and same else None


def _inside(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inside(constant)


def _is_at(node: FunctionNode, code: CodeType) -> bool:
    """Returns whether code was compiled from a node, one of several in its line."""
    if not isinstance(node, ast.Lambda):
        return True
    start = (node.body.lineno, node.body.col_offset)
    end = (node.body.end_lineno or 0, node.body.end_col_offset or 0)
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    return all(start <= at < end for at in places if at[1] != 0)


def _is_same(one: CodeType, other: CodeType) -> bool:
    """Returns whether two code objects do the same, or one was rewritten by pytest."""
    if _REWRITTEN in other.co_names:
        return True
    if _names(one) != _names(other) or one.co_code != other.co_code:
        return False
    pairs = zip(one.co_consts, other.co_consts, strict=True)
    return len(one.co_consts) == len(other.co_consts) and all(
        _is_same(a, b) if isinstance(a, CodeType) else repr(a) == repr(b) for a, b in pairs
    )


def _names(code: CodeType) -> tuple[object, ...]:
    return code.co_name, code.co_varnames, code.co_names, len(code.co_consts)
