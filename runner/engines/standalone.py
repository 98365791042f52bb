"""Checks that standalone source imports nothing but torch."""

import ast
import sys
from collections.abc import Iterator, Mapping

from runner.errors import ConfigError
from runner.graph.class_source.overridden_methods import methods
from runner.graph.codegen.copied_methods.copies import Copies
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit

KNOWN = sys.stdlib_module_names | {"torch", "safetensors"}


def check_standalone(text: str, graph: Graph, space: Graph | None) -> None:
    """Raises ConfigError, with reasons, if source imports anything but torch, or if units that the
    `space` may still put into a model would."""
    whole = space or graph
    problems = Copies(whole).problems
    foreign = [*dict.fromkeys([*_imported(text), *_kept(whole, problems)])]
    if foreign:
        found = "; ".join(f"{target} ({_why(target, whole, problems)})" for target in foreign[:3])
        more = f"; and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ConfigError(
            "With export.standalone=true the source imports torch only, but this space needs "
            f"{found}{more}. Fix that, or run with export.standalone=false."
        )


def _imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and _is_foreign(node.module or ""):
            yield from (f"{node.module}:{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_foreign(alias.name))


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in KNOWN


def _kept(graph: Graph, problems: Mapping[Unit, str]) -> Iterator[str]:
    """Yields the classes of units that are not, or not completely, written as source."""
    for _, unit in graph.root.walk():
        if _is_kept(unit, problems) and _is_foreign(unit.cls.module):
            yield unit.cls.target


def _is_kept(unit: Unit, problems: Mapping[Unit, str]) -> bool:
    """Returns whether source that contains a unit imports its class."""
    kept = unit.grade in ("shell", "basic") or unit in problems
    return kept and unit.name != "Placeholder"


def _why(target: str, graph: Graph, problems: Mapping[Unit, str]) -> str:
    """Returns why a target must be imported; `problems` tells which units cannot be copied."""
    for path, unit in graph.root.walk():
        if unit.cls.target == target and _is_kept(unit, problems):
            if unit in problems:
                why = f"its {methods(locate(target))} cannot be copied: {problems[unit]}"
                return f"{path or 'the model'}: {why}"
            note = next((note.text for note in graph.notes if note.path == path), "")
            why = note.partition(" Kept as")[0].rstrip(".") or "a class with @basic_unit"
            return f"{path or 'the model'}: {why}"
    return "a function or class used by a forward"
