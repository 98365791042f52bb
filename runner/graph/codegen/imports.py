"""Names in a generated file: what is imported, under which name, and that names are names."""

import builtins
import keyword
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, final

from runner.errors import GraphError
from runner.graph.codegen.copied_methods.globals import MARK
from runner.graph.codegen.line_breaking import WIDTH
from runner.graph.codegen.object_state import HELPERS

# Modules that are imported whole, and how the source calls them.
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
# What the source of a model has no business to call.
_REFUSED = {
    *("__import__", "breakpoint", "compile", "eval", "exec", "globals", "input"),
    *("locals", "memoryview", "open", "vars", "exit", "quit", "help"),
}
BUILTINS = frozenset(name for name in dir(builtins) if name not in _REFUSED)
_HELPERS = {target.partition(":")[2] for target in HELPERS}
RESERVED = frozenset({*dir(builtins), "self", "CONSTANTS", "Path", "load_file", "build", *_HELPERS})


@lru_cache(maxsize=4096)
def is_name(text: str) -> bool:
    """Whether Python takes the text as a name, and as this very one."""
    if not text.isidentifier() or keyword.iskeyword(text):
        return False
    return text.isascii() or unicodedata.normalize("NFKC", text) == text


@lru_cache(maxsize=4096)
def as_name(text: str) -> str:
    """The text, changed as little as it takes to be a name."""
    if is_name(text):
        return text
    name = re.sub(r"(\W|_)+", "_", text, flags=re.ASCII)
    if not name or name[0].isdigit():
        name = f"_{name}"
    return name if is_name(name) else f"{name}_"


def resolve(target: str) -> Any:
    """What "module:qualname" stands for, if its module is loaded; None otherwise."""
    module, _, qualname = target.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


@lru_cache(maxsize=4096)
def canonical(target: str) -> str:
    """The target by its public name ("torch.nn:Conv2d"), checked.

    Raises GraphError for what is not "module:qualname", or must not stand in a source.
    """
    module, colon, qualname = target.partition(":")
    parts = [*module.split("."), *qualname.split(".")]
    if not colon or not all(is_name(part) for part in parts):
        raise GraphError(f"{target!r} is not of the form 'module:qualname'.")
    if module == "builtins" and qualname.partition(".")[0] not in BUILTINS:
        raise GraphError(f"{target!r} cannot stand in the source of a model.")
    for public in ("torch.nn", "torch.nn.functional", "torch"):
        if module.startswith(("torch.nn.", "torch._")) and module not in _WHOLE:
            found = resolve(target)
            if found is not None and resolve(f"{public}:{qualname}") is found:
                return f"{public}:{qualname}"
    return target


@final
class Imports:
    """The imports of one file. `taken` are names that mean something else somewhere in it."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*taken}
        self._lines: dict[str, None] = dict.fromkeys(_ALWAYS)
        self._names: dict[str, str] = {}  # target -> how the source calls it
        self._owners: dict[str, str] = {}  # name in the file -> statement that makes it
        self.helpers: dict[str, str] = {}  # functions that are written out: target -> source

    @property
    def names(self) -> set[str]:
        """All names that imports make, or could make without a word."""
        return {*self._owners, "torch", "nn", "F"}

    def take(self, names: Iterable[str]) -> None:
        """Give names another meaning; what is imported so from here on gets another name."""
        self._taken.update(names)

    def name(self, target: str) -> str:
        """How the source calls "module:qualname", which is imported from here on."""
        known = self._names.get(target)
        if known is None:
            known = self._names[target] = self._import(canonical(target))
        return known

    def _import(self, target: str) -> str:
        module, _, qualname = target.partition(":")
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
        """Write out a function, and those that it calls, instead of importing it."""
        if target not in self.helpers:
            self.helpers[target] = ""  # known from here on, where it calls itself
            self.helpers[target] = self.named(text)

    def named(self, text: str) -> str:
        """A copied text, with the names that this file has for what it uses."""
        parts = text.split(MARK)
        for place, part in enumerate(parts):
            kind, _, target = part.partition(" ")
            if place % 2 and kind == "import":
                parts[place] = self.name(target)
            elif place % 2 and kind == "def":
                name = target.rpartition(":")[2].rpartition(".")[2]
                parts[place] = self._own(f"def {target}", name)
            elif place % 2:  # a class, whose name is known at the end
                parts[place] = f"{MARK}{part}{MARK}"
        return "".join(parts)

    def _own(self, line: str, name: str) -> str:
        """Make an import statement; gives the name it makes, another one where it is taken."""
        free, number = name, 2
        while free in self._taken or free in RESERVED or self._owners.get(free, line) != line:
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

    def lines(self, body: str, more: Sequence[str] = ()) -> list[str]:
        """The statements that a text needs, and some more, sorted as a person would."""
        needed = [line for line in self._lines if _is_in(line, body)]
        groups: list[list[str]] = [[], [], []]
        for line in sorted(_joined({*needed, *more}), key=_order):
            groups[_group(line)].append(line)
        return [line for group in groups if group for line in [*group, ""]][:-1]


def _joined(lines: Iterable[str]) -> list[str]:
    """The statements, with all that is imported from one module in one of them."""
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
    """Whether a text uses the name that an import makes."""
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
