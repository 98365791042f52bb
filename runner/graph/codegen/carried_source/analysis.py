"""What a statement of a user's module needs to stand in another file."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

from runner.graph.class_source.scopes import Uncopied
from runner.graph.codegen.carried_source.global_names import Use, global_names
from runner.graph.codegen.carried_source.live_code import check_is_loaded
from runner.graph.codegen.carried_source.members import of_constructor
from runner.graph.codegen.carried_source.resolution import (
    Defined,
    Library,
    Meaning,
    ModuleObject,
    Resolution,
    Text,
)
from runner.graph.codegen.carried_source.run_time_imports import any_code, run_time_imports
from runner.graph.codegen.carried_source.source_module import Import, SourceModule
from runner.graph.codegen.carried_source.stand_ins import DROPPED


@final
@dataclass(frozen=True)
class MeantUse:
    """A use of a name, what it means, and how many of its attributes belong to that."""

    use: Use
    meaning: Meaning
    count: int


@final
@dataclass
class Analysis:
    """What a statement needs, and the parts of it that are left out."""

    node: ast.stmt
    found: list[MeantUse] = field(default_factory=list)
    imports: list[tuple[Import, list[tuple[Meaning, str]]]] = field(default_factory=list)
    dropped: frozenset[ast.AST] = frozenset()  # decorators and members of a class
    untyped: set[ast.expr] = field(default_factory=set)  # annotations

    def needs(self) -> Iterator[tuple[Defined, Use | None]]:
        """Yields the definitions that it needs, each with its use."""
        for each in self.found:
            if isinstance(each.meaning, Defined) and each.use.annotation not in self.untyped:
                yield each.meaning, each.use
        for _, names in self.imports:
            yield from ((meaning, None) for meaning, _ in names if isinstance(meaning, Defined))

    def libraries(self) -> Iterator[Library]:
        """Yields the imports of libraries that it needs at the top of the file."""
        for each in self.found:
            if isinstance(each.meaning, Library) and each.use.annotation not in self.untyped:
                yield each.meaning


def analyse(resolution: Resolution, module: str, number: int, *, whole: bool) -> Analysis:
    """Returns what a statement of a module needs. If not `whole`, a class is not constructed by its
    own constructor. Raises Uncopied."""
    source = resolution.module(module)
    node = source.tree.body[number]
    dropped: frozenset[ast.AST] = frozenset(_decorators(source, node))
    if not whole and isinstance(node, ast.ClassDef):
        dropped |= of_constructor(node)
    made = Analysis(node, dropped=dropped)
    try:
        check_is_loaded(source, node, dropped)
        for call in run_time_imports(node, vars(source.live), dropped):
            raise Uncopied(any_code(call))
        names = global_names(node, dropped)
        for use in names.uses:
            _add(made, resolution, module, use)
        for inner in names.imports:
            made.imports.append((inner, _imported(resolution, source, inner)))
    except Uncopied as problem:
        raise Uncopied(f"{title(node)} ({source.place}:{node.lineno}): {problem}") from problem
    return made


def title(node: ast.stmt) -> str:
    """Returns what a statement is called in a message."""
    name = getattr(node, "name", "")
    return name or ast.unparse(node).partition("\n")[0][:40]


def _add(made: Analysis, resolution: Resolution, module: str, use: Use) -> None:
    if use.name == getattr(made.node, "name", None):
        made.found.append(MeantUse(use, Defined(module, use.name), 0))
        return
    try:
        meaning, count = resolution.chain(module, use)
    except Uncopied:
        if use.annotation is None:
            raise
        made.untyped.add(use.annotation)
        return
    if use.unsure and not isinstance(meaning, Defined):
        meaning = Text(use.name)
    made.found.append(MeantUse(use, meaning, count))


def _imported(
    resolution: Resolution, source: SourceModule, node: Import
) -> list[tuple[Meaning, str]]:
    """Returns what the names of an import mean that is not at the top of its module."""
    found: list[tuple[Meaning, str]] = []
    for alias in node.names:
        meaning = resolution.meaning_of(source, node, alias)
        if isinstance(meaning, ModuleObject) and meaning.module not in sys.modules:
            meaning = Text(f"raise ImportError({meaning.module!r})")  # as it does here
        elif isinstance(meaning, ModuleObject):
            raise Uncopied(f"it imports the module {meaning.module} inside a function or block")
        found.append((meaning, alias.asname or alias.name.partition(".")[0]))
    return found


def _decorators(source: SourceModule, node: ast.stmt) -> Iterator[ast.expr]:
    """Yields the decorators of a definition that matter to a search only."""
    for decorator in getattr(node, "decorator_list", ()):
        if any(_live(source, decorator) is known for known in DROPPED):
            yield decorator


def _live(source: SourceModule, node: ast.expr) -> Any:
    """Returns the object of a name, or of an attribute of one; None for anything else."""
    if isinstance(node, ast.Name):
        return vars(source.live).get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_live(source, node.value), node.attr, None)
    return None
