"""What a name in a user's module means: a definition of such a module, or an import."""

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, final

from runner.graph.class_source.scopes import Uncopied
from runner.graph.codegen.carried_source.global_names import Use
from runner.graph.codegen.carried_source.packages import is_own
from runner.graph.codegen.carried_source.source_module import Import, SourceModule, source_module
from runner.graph.codegen.carried_source.stand_ins import HELPERS, is_torchs, plain_type

NN = "runner.nn"
_OF_ITS_FILE = ("__file__", "__path__", "__spec__", "__loader__")


@final
@dataclass(frozen=True)
class Defined:
    """A name that statements of a user's module bind."""

    module: str
    name: str


@final
@dataclass(frozen=True)
class Library:
    """A name that an import of a library binds, and what is read of it."""

    statement: str
    name: str
    rest: str = ""


@final
@dataclass(frozen=True)
class ModuleObject:
    """A module of the user's, or `runner.nn`, as an object; `name` is what it is bound to."""

    module: str
    name: str


@final
@dataclass(frozen=True)
class Text:
    """An expression that means the same anywhere; `helper` is the name of one of HELPERS, which
    defines it."""

    text: str
    helper: str = ""


Meaning = Defined | Library | ModuleObject | Text


@final
class Resolution:
    """Finds what names mean, from the files of the modules and from what is loaded."""

    def __init__(self) -> None:
        self._modules: dict[str, SourceModule | Uncopied] = {}

    def module(self, name: str) -> SourceModule:
        """Returns the source of a module. Raises Uncopied if there is none."""
        if name not in self._modules:
            try:
                self._modules[name] = source_module(name)
            except Uncopied as problem:
                self._modules[name] = problem
        found = self._modules[name]
        if isinstance(found, Uncopied):
            raise found
        return found

    def chain(self, module: str, use: Use) -> tuple[Meaning, int]:
        """Returns what a use in a module means, and how many of its attributes belong to that."""
        meaning, count = self.name(module, use.name), 0
        while isinstance(meaning, ModuleObject) and count + 1 < len(use.chain):
            count += 1
            node = use.chain[count]
            assert isinstance(node, ast.Attribute)
            meaning = self._member(meaning, node.attr)
        if isinstance(meaning, ModuleObject):
            raise Uncopied(f"it uses the module {meaning.module} as an object")
        return meaning, count

    def name(self, module: str, name: str) -> Meaning:
        """Returns what a name means in a module. Raises Uncopied if no file says so."""
        source = self.module(module)
        places = source.binds.get(name)
        if not places:
            return self._unbound(source, name)
        body = source.tree.body
        found = [partial(self.meaning_of, source, *each) for each in _aliases(source, name)]
        if all(isinstance(body[place], ast.Import | ast.ImportFrom) for place in places):
            return found[-1]()
        live = vars(source.live).get(name, ...)
        for make in found:  # a part of an `if` or `try`
            try:
                meaning = make()
            except Uncopied:
                continue
            if live is ... or self._live(meaning) is live:
                return meaning
        return Defined(module, name)

    def meaning_of(self, source: SourceModule, node: Import, alias: ast.alias) -> Meaning:
        """Returns what one name of an import statement means."""
        bound = alias.asname or alias.name.partition(".")[0]
        if isinstance(node, ast.Import):
            module = alias.name if alias.asname else bound
            if is_own(module):
                return ModuleObject(module, bound)
            end = f" as {bound}" * (bound != module)
            return Library(f"import {alias.name}{end if alias.asname else ''}", bound)
        module = source.target(node)
        if not is_own(module):
            end = f" as {bound}" * (bound != alias.name)
            return Library(f"from {module} import {alias.name}{end}", bound)
        return self._member(ModuleObject(module, bound), alias.name, bound)

    def _member(self, owner: ModuleObject, name: str, bound: str = "") -> Meaning:
        """Returns what an attribute of a module means."""
        module = owner.module
        if module == NN:
            return _of_nn(name, bound, owner.name)
        inner = f"{module}.{name}"
        if inner in sys.modules and isinstance(
            getattr(sys.modules[module], name, None), ModuleType
        ):
            return ModuleObject(inner, bound or name)
        if module.partition(".")[0] == "runner":
            raise Uncopied(f"it uses {inner}, which belongs to the search")
        return self.name(module, name)

    def _unbound(self, source: SourceModule, name: str) -> Meaning:
        if name in _OF_ITS_FILE:
            raise Uncopied(f"it uses {name} of {source.place}, which is elsewhere then")
        for node in source.imports:
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                module = source.target(node)
                live = sys.modules.get(module)
                public = getattr(live, "__all__", None)
                has = (
                    name in public
                    if public is not None
                    else name[:1] != "_" and hasattr(live, name)
                )
                if has and is_own(module):
                    return self._member(ModuleObject(module, name), name, name)
                if has:
                    return Library(f"from {module} import {name}", name)
        value = vars(source.live).get(name, ...)
        if value is not ... and name not in vars(builtins) and name[:2] != "__":
            return self._of_value(source, name, value)
        return Text(name)

    def _of_value(self, source: SourceModule, name: str, value: Any) -> Meaning:
        """Returns what a global means that no statement of its file binds."""
        home, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        is_named = isinstance(value, type | FunctionType) and qualname.isidentifier()
        if is_named and isinstance(home, str) and (home, qualname) != (source.name, name):
            if is_own(home):
                return self.name(home, qualname)
            return Library(f"from {home} import {qualname}", qualname)
        raise Uncopied(f"no statement of {source.place} sets {name}")

    def _live(self, meaning: Meaning) -> Any:
        """Returns the object of a meaning; ... if there is none."""
        match meaning:
            case Defined():
                return vars(sys.modules[meaning.module]).get(meaning.name, ...)
            case Library():
                return _imported_value(meaning)
            case ModuleObject():
                return sys.modules.get(meaning.module, ...)
            case Text():
                return ...


def _aliases(source: SourceModule, name: str) -> Iterator[tuple[Import, ast.alias]]:
    """Yields the imports of a module that bind a name."""
    for node in source.imports:
        for alias in node.names:
            if name == (alias.asname or alias.name.partition(".")[0]):
                yield node, alias


def _of_nn(name: str, bound: str, module: str) -> Meaning:
    """Returns what a name of `runner.nn` means; `bound` is what an import binds it to, and `module`
    what the module is bound to, if it is read of the module."""
    if is_torchs(name):
        if not bound:
            end = f" as {module}" * (module != "nn")
            return Library(f"from torch import nn{end}", module, f".{name}")
        end = f" as {bound}" * (bound != name)
        return Library(f"from torch.nn import {name}{end}", bound)
    if name in HELPERS:
        return Text(name, helper=name)
    return Text(plain_type(name))


def _imported_value(meaning: Library) -> Any:
    words = meaning.statement.split()
    if words[0] == "import":
        return sys.modules.get(words[1] if "as" in words else words[1].partition(".")[0], ...)
    live = sys.modules.get(words[1])
    return getattr(live, words[3], sys.modules.get(f"{words[1]}.{words[3]}", ...))
