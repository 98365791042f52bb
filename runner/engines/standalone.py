"""Checks that standalone source imports nothing but torch and installed libraries."""

import ast
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.errors import ConfigError
from runner.graph.class_source.overridden_methods import methods
from runner.graph.codegen.copied_methods.copies import Copies
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit

KNOWN = sys.stdlib_module_names | {"torch", "safetensors"}


def check_standalone(text: str, graph: Graph, space: Graph | None) -> None:
    """Raises ConfigError, with reasons, if source imports anything but torch and installed
    libraries, or if units that the `space` may still put into a model would."""
    whole = space or graph
    problems = Copies(whole).problems
    foreign = [*dict.fromkeys([*_imported(text), *_kept(whole, problems)])]
    if foreign:
        found = "; ".join(f"{target} ({_why(target, whole, problems)})" for target in foreign[:3])
        more = f"; and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ConfigError(
            "With export.standalone=true the source imports only torch and installed libraries, "
            "but this space needs "
            f"{found}{more}. Fix that, or run with export.standalone=false."
        )


def _imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and _is_foreign(node.module or ""):
            yield from (f"{node.module}:{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_foreign(alias.name))


def _is_foreign(module: str) -> bool:
    package = module.partition(".")[0]
    return package not in KNOWN and not _is_library(package)


def _is_library(package: str) -> bool:
    """Returns whether a package is installed beside torch, and none of this project."""
    if package in ("runner", "spaces"):
        return False
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module that was made without a file
        return False
    paths = [*site.getsitepackages(), site.getusersitepackages()]
    folders = {*map(Path, paths), *(Path(sysconfig.get_path(n)) for n in ("purelib", "platlib"))}
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin or ""]
    return any(Path(place).parent in folders for place in places)


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
