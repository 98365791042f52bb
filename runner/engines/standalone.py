"""Checks that standalone source imports nothing but torch and installed libraries."""

import ast
from collections.abc import Iterable, Iterator, Mapping

from runner.errors import ConfigError
from runner.graph.class_source.overridden_methods import methods
from runner.graph.codegen.carried_source.bundle import Bundle
from runner.graph.codegen.carried_source.packages import is_own
from runner.graph.codegen.carried_source.run_time_imports import any_code, run_time_imports
from runner.graph.codegen.copied_methods.copies import Copies
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit

INSTEAD = "Fix that, or set export.source=import: such files import your code."


def check_standalone(text: str, graph: Graph, space: Graph | None) -> None:
    """Raises ConfigError, with reasons, if source imports anything but torch and installed
    libraries, or if units that the `space` may still put into a model would."""
    whole = space or graph
    problems = Copies(whole).problems
    bundle = scratch_bundle()
    foreign = [*dict.fromkeys([*imported_own(text), *_kept(whole, problems, bundle)])]
    if foreign:
        found = [f"{t} ({_why(t, whole, problems, bundle)})" for t in foreign[:3]]
        raise ConfigError(not_alone(found, len(foreign)))
    for place, call in _unread(text):
        raise ConfigError(f"{place}: {any_code(call)}, and that may be yours. "
                          f"{INSTEAD}")  # fmt: skip


def not_alone(found: Iterable[str], count: int) -> str:
    """Returns what to say of targets, some of `count`, that standalone source has to import."""
    shown = [*found]
    more = f"; and {count - len(shown)} more" if count > len(shown) else ""
    return (
        "With export.source=standalone the source imports only torch and installed libraries, "
        f"but it needs {'; '.join(shown)}{more}. {INSTEAD}"
    )


def scratch_bundle() -> Bundle:
    """Returns a bundle that tells what could be brought along."""
    return Bundle(lambda statement, name: name)


def imported_own(text: str) -> Iterator[str]:
    """Yields what source imports of the user's own modules."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and is_own(node.module or ""):
            yield from (f"{node.module}:{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_own(alias.name))


def _unread(text: str) -> Iterator[tuple[str, ast.expr]]:
    """Yields what in source may import or run any code, with the definition that it is in."""
    tree = ast.parse(text)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    defined = {node.name: None for node in tree.body
               if isinstance(node, ast.FunctionDef | ast.ClassDef)}  # fmt: skip
    for node in tree.body:
        whole = ast.Module([*imports, node], [])
        for call in run_time_imports(whole, defined):
            yield getattr(node, "name", "the model"), call


def _kept(graph: Graph, problems: Mapping[Unit, str], bundle: Bundle) -> Iterator[str]:
    """Yields the classes of units that are written neither as source nor brought along."""
    for _, unit in graph.root.walk():
        target = unit.cls.target
        if not _is_kept(unit, problems) or not is_own(unit.cls.module):
            continue
        if bundle.name(target, base=unit.grade != "basic") is None:
            yield target


def _is_kept(unit: Unit, problems: Mapping[Unit, str]) -> bool:
    """Returns whether source that contains a unit needs its class."""
    kept = unit.grade in ("shell", "basic") or unit in problems
    return kept and unit.name != "Placeholder"


def _why(target: str, graph: Graph, problems: Mapping[Unit, str], bundle: Bundle) -> str:
    """Returns why a target must be imported; `problems` tells which units cannot be copied."""
    for path, unit in graph.root.walk():
        if unit.cls.target == target and _is_kept(unit, problems):
            why = bundle.problems.get(target) or bundle.why(target)
            kept = [n.reason for n in graph.notes if n.path == path and "Kept as" in n.text]
            if kept:
                why = f"it is kept as it is, since {kept[0]}; and {why}"
            if unit in problems:
                why = f"its {methods(locate(target))} cannot be copied: {problems[unit]}"
            return f"{path or 'the model'}: {why}"
    return bundle.why(target)
