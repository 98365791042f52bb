"""Generates the Python source that builds a config node."""

import keyword
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from runner.config.check_arguments import arguments
from runner.config.targets import locate

OURS = ("runner", "spaces")
WIDTH = 80  # columns of a line


@final
class PythonSource:
    """Python source of config values. `imports` are the import statements it needs, and `folders`
    the folders of user packages that are not installed, to be put on the import path."""

    def __init__(self, trust: Sequence[str]) -> None:
        self.imports: set[str] = set()
        self.folders: set[str] = set()
        self._trust = trust
        self._names: dict[str, str] = {}  # name in the source -> import path

    def expression(self, value: Any, indent: int = 0) -> str:
        """Returns an expression for the value; nodes become calls, and strings are escaped by
        `repr`."""
        if isinstance(value, Mapping) and "_target_" in value:
            return self._call(value, indent)
        return _written(value, indent, self.expression)

    def _call(self, node: Mapping[str, Any], indent: int) -> str:
        given = arguments(node)
        name = self._name(node["_target_"])
        items = [f"{k}={self.expression(v, indent + 1)}" for k, v in given.items()]
        if not all(key.isidentifier() and not keyword.iskeyword(key) for key in given):
            items = [f"**{self.expression(given, indent + 1)}"]
        if node.get("_partial_", False):
            self.imports.add("import functools")
            return _lines("functools.partial(", [name, *items], ")", indent)
        return _lines(f"{name}(", items, ")", indent)

    def _name(self, path: str) -> str:
        """Returns the local name of the target at an import path, and imports it."""
        locate(path, self._trust)
        module = path
        parts: list[str] = []
        while module not in sys.modules or not parts:
            module, _, part = module.rpartition(".")
            parts.insert(0, part)
        first = ".".join([module, parts[0]])
        name = parts[0]
        while self._names.setdefault(name, first) != first:
            name += "_"
        rename = "" if name == parts[0] else f" as {name}"
        self.imports.add(f"from {module} import {parts[0]}{rename}")
        self.folders |= _not_installed(module.split(".")[0])
        return ".".join([name, *parts[1:]])


def literal(value: Any, indent: int = 0) -> str:
    """Returns an expression for a plain value, in which nothing is a node."""
    return _written(value, indent, literal)


def _written(value: Any, indent: int, each: Callable[[Any, int], str]) -> str:
    """Returns an expression for a value, and `each` that for what is inside of it."""
    if isinstance(value, Mapping):
        items = [f"{key!r}: {each(v, indent + 1)}" for key, v in value.items()]
        return _lines("{", items, "}", indent)
    if isinstance(value, list):
        return f"[{', '.join(each(item, indent) for item in value)}]"
    return repr(value)


def _not_installed(package: str) -> set[str]:
    """Returns the folder a user package was imported from, unless it is installed."""
    file = sys.modules[package].__file__
    if file is None or package in OURS:
        return set()
    place = Path(file).resolve()
    folder = place.parent.parent if place.name == "__init__.py" else place.parent
    installed = any(folder.is_relative_to(home) for home in sysconfig.get_paths().values())
    return set() if installed else {str(folder)}


def _lines(start: str, items: Sequence[str], end: str, indent: int) -> str:
    """Joins items between two brackets, on one line or, if that is too long, on one line each."""
    line = f"{start}{', '.join(items)}{end}"
    if len(line) + 4 * indent <= WIDTH and "\n" not in line:
        return line
    inside = "".join(f"{4 * (indent + 1) * ' '}{item},\n" for item in items)
    return f"{start}\n{inside}{4 * indent * ' '}{end}"
