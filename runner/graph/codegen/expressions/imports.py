"""Imports of a generated file, and the validity and uniqueness of the names in it."""

import builtins
import keyword
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, final

from runner.errors import GraphError
from runner.graph.class_source.scopes import BUILTINS as BUILTINS
from runner.graph.codegen.carried_source.bundle import Bundle
from runner.graph.codegen.copied_methods.globals import MARK
from runner.graph.codegen.expressions.line_breaking import WIDTH
from runner.graph.ir.with_state import HELPERS

# Modules that are imported whole: the statement, and the expression for the module.
_WHOLE = {
    "torch": ("import torch", "torch"),
    "torch.linalg": ("import torch", "torch.linalg"),
    "torch.fft": ("import torch", "torch.fft"),
    "torch.special": ("import torch", "torch.special"),
    "torch.nn": ("from torch import nn", "nn"),
    "torch.nn.init": ("from torch import nn", "nn.init"),
    "torch.nn.functional": ("import torch.nn.functional as F", "F"),
    **{name: (f"import {name}", name) for name in ("math", "operator", "warnings", "cmath")},
}
_ALWAYS = ("import torch", "from torch import nn")
_HELPERS = {target.partition(":")[2] for target in HELPERS}
_PATH = "from pathlib import Path"
RESERVED = frozenset(
    {*dir(builtins), "self", "CONSTANTS", "Path", "load_file", "build", "load", *_HELPERS}
)


@lru_cache(maxsize=4096)
def is_name(text: str) -> bool:
    """Returns whether a text is a valid name, and unchanged by NFKC normalization."""
    if not text.isidentifier() or keyword.iskeyword(text):
        return False
    return text.isascii() or unicodedata.normalize("NFKC", text) == text


@lru_cache(maxsize=4096)
def as_name(text: str) -> str:
    """Returns the text, sanitized to a valid name if it is none."""
    if is_name(text):
        return text
    name = re.sub(r"(\W|_)+", "_", text, flags=re.ASCII)
    if not name or name[0].isdigit():
        name = f"_{name}"
    return name if is_name(name) else f"{name}_"


def resolve(target: str) -> Any:
    """Returns the object at "module:qualname"; None if its module is not loaded or lacks it."""
    module, _, qualname = target.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def canonical(target: str) -> str:
    """Returns the public name of a target, for example "torch.nn:Conv2d".

    Raises GraphError if it is not "module:qualname", or a builtin that is refused.
    """
    module, colon, qualname = target.partition(":")
    parts = [*module.split("."), *qualname.split(".")]
    if not colon or not all(is_name(part) for part in parts):
        raise GraphError(f"{target!r} is not of the form 'module:qualname'.")
    if module == "builtins" and qualname.partition(".")[0] not in BUILTINS:
        raise GraphError(f"{target!r} cannot be used in the source of a model.")
    for public in ("torch.nn", "torch.nn.functional", "torch"):
        if module.startswith(("torch.nn.", "torch._")) and module not in _WHOLE:
            found = resolve(target)
            if found is not None and resolve(f"{public}:{qualname}") is found:
                return f"{public}:{qualname}"
    return target


@final
class Imports:
    """The imports of one file. `taken` are names with another meaning somewhere in it; `functions`
    are the names in it of functions of the graph. If it `carries` the user's definitions, these are
    in `bundle`, and are imported only if that cannot be."""

    def __init__(
        self,
        taken: Iterable[str] = (),
        functions: Mapping[str, str] = MappingProxyType({}),
        *,
        carries: bool = False,
    ) -> None:
        self._taken = {*taken}
        self._lines: dict[str, None] = dict.fromkeys(_ALWAYS)
        # target -> expression in the source
        self._names = {f":{name}": written for name, written in functions.items()}
        self._owners: dict[str, str] = {}  # name in the file -> statement that binds it
        self.helpers: dict[str, str] = {}  # functions that are not imported: target -> source
        self.bundle = Bundle(self._bind) if carries else None

    @property
    def names(self) -> set[str]:
        """All names that imports bind, or may bind implicitly."""
        return {*self._owners, "torch", "nn", "F"}

    def take(self, names: Iterable[str]) -> None:
        """Reserves names; later imports that would bind them are renamed."""
        self._taken.update(names)

    def name(self, target: str) -> str:
        """Imports "module:qualname", and returns its expression in the source; ":name" is a
        function of the graph."""
        known = self._names.get(target)
        if known is None:
            known = self._names[target] = self._import(canonical(target))
        return known

    def _import(self, target: str) -> str:
        module, _, qualname = target.partition(":")
        if self.bundle is not None and (carried := self.bundle.name(target)) is not None:
            return carried
        if target in HELPERS:
            self.helpers[target] = HELPERS[target]
            return qualname
        if module == "builtins":
            return qualname
        if module in _WHOLE:
            line, prefix = _WHOLE[module]
            top, _, rest = prefix.partition(".")
            name = self._own(line, top)
            return ".".join(part for part in (name, rest, qualname) if part)
        top, _, rest = qualname.partition(".")
        name = self._own(f"from {module} import {top}", top)
        return f"{name}.{rest}" if rest else name

    def define(self, target: str, text: str) -> None:
        """Writes out a function, and those that it calls, instead of importing it."""
        if target not in self.helpers:
            self.helpers[target] = ""  # registered first: it may be recursive
            self.helpers[target] = self.named(text)

    def named(self, text: str) -> str:
        """Returns a copied text with the placeholders of all but classes replaced by names."""
        parts = text.split(MARK)
        for place, part in enumerate(parts):
            kind, _, target = part.partition(" ")
            if place % 2 and kind == "import":
                parts[place] = self.name(target)
            elif place % 2 and kind == "def":
                name = target.rpartition(":")[2].rpartition(".")[2]
                parts[place] = self._own(f"def {target}", name)
            elif place % 2:  # a class, which is named last
                parts[place] = f"{MARK}{part}{MARK}"
        return "".join(parts)

    def base(self, target: str) -> str:
        """Returns the expression for a class as the base of one with a constructor of its own."""
        found = self.bundle.name(target, base=True) if self.bundle is not None else None
        return self.name(target) if found is None else found

    def _bind(self, line: str, name: str) -> str:
        """Registers a statement of the user's, and returns the name that it binds in the file."""
        if line.startswith("import ") and " as " not in line and "." in line:
            self._lines[line] = None
            line = f"import {name}"
        return self._own(line, name)

    def _own(self, line: str, name: str) -> str:
        """Registers the statement that binds a name; returns the name, or a free one if taken."""
        free, number = name, 2
        while self._is_bound(free, line):
            free, number = f"{name}_{number}", number + 1
        if self._owners.get(free) == line:
            return free
        self._owners[free] = line
        if line.startswith("def "):
            return free
        if free == name:
            self._lines[line] = None
        else:
            self._lines.pop(line, None)
            self._lines[f"{line.partition(' as ')[0]} as {free}"] = None
        return free

    def _is_bound(self, name: str, line: str) -> bool:
        """Returns whether a name means something else than what a statement binds it to."""
        if line == _PATH and name == "Path":
            return name in self._taken
        if name in self._taken or name in RESERVED:
            return True
        return self._owners.get(name, line) != line

    def lines(self, body: str, more: Sequence[str] = ()) -> list[str]:
        """Returns the import statements that a text needs, and `more`, grouped and sorted."""
        needed = [line for line in self._lines if _is_in(line, body)]
        groups: list[list[str]] = [[], [], []]
        for line in sorted(_joined({*needed, *more}), key=_order):
            groups[_group(line)].append(line)
        return [line for group in groups if group for line in [*group, ""]][:-1]


def _joined(lines: Iterable[str]) -> list[str]:
    """Merges the imports from each module into one statement."""
    parts: dict[str, list[str]] = {}
    for line in sorted(lines):
        before, word, name = line.partition(" import ")
        parts.setdefault(before + word, []).append(name)
    joined = []
    for before, names in parts.items():
        line = before + ", ".join(names)
        too_long = len(line) > WIDTH
        joined.append(f"{before}(\n    {f',{_BREAK}'.join(names)},\n)" if too_long else line)
    return joined


_BREAK = "\n    "


def _is_in(line: str, body: str) -> bool:
    """Returns whether a text uses the name that an import binds."""
    if line in _ALWAYS:
        return True
    name = line.rpartition(" ")[2]
    return re.search(rf"\b{re.escape(name)}\b", body) is not None


def _top(line: str) -> str:
    return line.split()[1].partition(".")[0]


def _group(line: str) -> int:
    return 0 if _top(line) in sys.stdlib_module_names else 2 if _top(line) not in _LIBRARIES else 1


_LIBRARIES = ("torch", "safetensors")


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line
