"""A user's module as its file has it: statements, what they bind, and the licence above them."""

import ast
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from types import CodeType, ModuleType
from typing import final

from runner.graph.class_source.scopes import Uncopied, codes
from runner.graph.codegen.carried_source.global_names import bound_names, global_names

_LICENCE = re.compile(r"copyright|licen[sc]e|spdx", re.IGNORECASE)
_NO_LICENCE = re.compile(r"#!|#.*coding[:=]")
Import = ast.Import | ast.ImportFrom


@final
class SourceModule:
    """The source of a module that is loaded. Raises Uncopied if there is none."""

    def __init__(self, live: ModuleType) -> None:
        self.live = live
        self.name = live.__name__
        try:
            if not getattr(live, "__file__", None):
                raise OSError("it has no file")
            self.text = inspect.getsource(live)
            self.tree = ast.parse(self.text)
        except (OSError, TypeError, SyntaxError, UnicodeDecodeError) as error:
            text = f"the source of the module {self.name} cannot be read ({error})"
            raise Uncopied(text) from error
        self.data = self.text.encode("utf-8", "surrogatepass")
        self._starts = [0]
        for line in self.data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    @property
    def is_package(self) -> bool:
        return hasattr(self.live, "__path__")

    @property
    def place(self) -> str:
        """The file relative to what imports start from."""
        return self.name.replace(".", "/") + ("/__init__.py" if self.is_package else ".py")

    @cached_property
    def binds(self) -> dict[str, list[int]]:
        """The numbers of the statements that bind each name, in order."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, statement in enumerate(self.tree.body):
            for name in bound_names([statement]):
                found[name].append(number)
        return found

    @cached_property
    def changes(self) -> dict[str, list[int]]:
        """The numbers of the statements that may change what a name refers to, without binding a
        name: `REGISTRY["a"] = A`, `REGISTRY.update(...)`, a loop over them."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, statement in enumerate(self.tree.body):
            if isinstance(
                statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | Import
            ):
                continue
            for name in {
                use.name for use in global_names(statement).uses if _is_changed(statement)
            }:
                if number not in self.binds.get(name, ()):
                    found[name].append(number)
        return found

    @cached_property
    def registered(self) -> dict[str, list[int]]:
        """The numbers of the definitions that are decorated with each name, or with a function of
        this module that uses it."""
        uses = {
            s.name: {use.name for use in global_names(s).uses}
            for s in self.tree.body
            if isinstance(s, ast.FunctionDef)
        }
        found: dict[str, list[int]] = defaultdict(list)
        for number, statement in enumerate(self.tree.body):
            for decorator in getattr(statement, "decorator_list", ()):
                names = {use.name for use in global_names(ast.Expr(decorator)).uses}
                for name in names.union(*(uses.get(each, ()) for each in names)):
                    found[name].append(number)
        return found

    @cached_property
    def codes(self) -> dict[str, list[CodeType]]:
        """The code of each function in the file, by its qualified name."""
        found: dict[str, list[CodeType]] = defaultdict(list)
        # Not the bytes: in UTF-8, a line such as `# coding: latin-1` would be wrong.
        whole = compile(self.text, self.place, "exec", dont_inherit=True)
        for code in codes(whole):
            found[code.co_qualname].append(code)
        return found

    @cached_property
    def imports(self) -> list[Import]:
        """All imports that run when the module is imported."""
        return [*self._imports(self.tree.body)]

    def _imports(self, body: list[ast.stmt]) -> Iterator[Import]:
        for statement in body:
            if isinstance(statement, Import):
                yield statement
            elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for part in ("body", "handlers", "orelse", "finalbody"):
                    for inner in getattr(statement, part, ()):
                        yield from self._imports([inner] if isinstance(inner, ast.stmt)
                                                 else inner.body)  # fmt: skip

    @cached_property
    def imported(self) -> list[str]:
        """The modules that are imported when this one is, as far as they are loaded."""
        found: dict[str, None] = {}
        for node in self.imports:
            if isinstance(node, ast.Import):
                found |= dict.fromkeys(alias.name for alias in node.names)
                continue
            module = self.target(node)
            found |= dict.fromkeys([*(f"{module}.{alias.name}" for alias in node.names), module])
        return [name for name in found if name in sys.modules]

    @cached_property
    def postpones_annotations(self) -> bool:
        return any(
            isinstance(s, ast.ImportFrom) and s.module == "__future__"
            and any(alias.name == "annotations" for alias in s.names)
            for s in self.tree.body
        )  # fmt: skip

    @cached_property
    def licence(self) -> list[str]:
        """The comment at the top of the file if it states a licence or copyright."""
        found: list[str] = []
        for line in self.data.decode("utf-8", "replace").splitlines():
            if _NO_LICENCE.match(line) and not _LICENCE.search(line):
                continue
            if not line.startswith("#") and (line.strip() or found):
                break
            found += [line.rstrip()] * bool(line.strip())
        return found if _LICENCE.search("\n".join(found)) else []

    def target(self, node: ast.ImportFrom) -> str:
        """Returns the absolute name of the module that a statement imports from."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        above = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*above, *([node.module] if node.module else [])])

    def offset(self, line: int, column: int) -> int:
        """Returns the place in `data` of a line, from 1, and a column in bytes."""
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt | ast.arg) -> tuple[int, int]:
        """Returns where a node begins and ends in `data`."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self.offset(node.lineno, node.col_offset)
        return start, self.offset(node.end_lineno, node.end_col_offset)

    def extent(self, statement: ast.stmt) -> tuple[int, int, int]:
        """Returns where a statement with its decorators begins and ends in `data`, and its first
        line: with the comment directly above it, and the one behind it on its last line."""
        decorators = getattr(statement, "decorator_list", [])
        line = min([statement.lineno, *(each.lineno for each in decorators)])
        start = self.offset(line, 0 if decorators else statement.col_offset)
        _, end = self.span(statement)
        newline = self.data.find(b"\n", end)
        rest = self.data[end : len(self.data) if newline < 0 else newline]
        if rest.strip().startswith(b"#"):
            end += len(rest.rstrip())
        first, above = start, line - 1
        while above and self._line(above).startswith(b"#") and not self._is_licence(above):
            first, above = self.offset(above, 0), above - 1
        return first, end, line

    def _line(self, line: int) -> bytes:
        return self.data[self._starts[line - 1] : self._starts[line]]

    def _is_licence(self, line: int) -> bool:
        return self._line(line).decode("utf-8", "replace").rstrip() in self.licence


def source_module(name: str) -> SourceModule:
    """Returns the source of a module, which is imported already. Raises Uncopied without one."""
    live = sys.modules.get(name)
    if live is None:
        raise Uncopied(f"the module {name} is not imported")
    return SourceModule(live)


def _is_changed(statement: ast.stmt) -> bool:
    """Returns whether a statement may change an object that it names."""
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete):
        targets = getattr(statement, "targets", None) or [statement.target]  # type: ignore[union-attr]
        return any(not isinstance(each, ast.Name | ast.Tuple | ast.List) for each in targets)
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return not is_text
