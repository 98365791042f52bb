"""The definitions of the user's modules that a file brings along, with all that they use."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, final

from runner.graph.class_source.scopes import Uncopied
from runner.graph.codegen.carried_source.analysis import Analysis, analyse
from runner.graph.codegen.carried_source.packages import is_own
from runner.graph.codegen.carried_source.resolution import (
    NN,
    Defined,
    Library,
    Meaning,
    Resolution,
    Text,
)
from runner.graph.codegen.carried_source.rewriting import rewritten
from runner.graph.codegen.carried_source.stand_ins import HELPERS

Bind = Callable[[str, str], str]  # (a statement, a name that it binds) -> the name in the file
_Numbered = tuple[str, int]  # a module, and the number of a statement in it
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type, FunctionType)


@final
@dataclass
class _Followed:
    """Statements that need nothing but each other, each with what it needs."""

    items: dict[_Numbered, bool]  # whether a class is needed whole, with its constructor
    made: dict[_Numbered, Analysis]


@final
class Bundle:
    """The definitions that a file brings along. They are added one by one, and each is placed
    once; `problems` says of targets why they cannot be."""

    def __init__(self, bind: Bind) -> None:
        """`bind` gives the names in the file."""
        self.problems: dict[str, str] = {}
        self._bind = bind
        self._resolution = Resolution()
        self._items: dict[_Numbered, bool] = {}
        self._made: dict[_Numbered, Analysis] = {}
        self._names: dict[Defined, str] = {}
        self._libraries: dict[Library, str] = {}
        self._helpers: dict[str, str] = {}
        self._constructors: dict[Defined, Sequence[str]] = {}

    def name(self, target: str, *, base: bool = False) -> str | None:
        """Returns the expression for "module:qualname" in the file, and adds its definition; None
        if it is not the user's, or cannot be brought along. `base`: as the base of a class with a
        constructor of its own."""
        module, _, qualname = target.partition(":")
        if target in self.problems or not is_own(module):
            return None
        if module == NN and qualname in HELPERS:
            self._help(qualname)
            return self._helpers[qualname]
        top, _, rest = qualname.partition(".")
        try:
            if "<" in qualname:
                raise Uncopied(f"{qualname} is defined inside a function")
            meaning = self._resolution.name(module, top)
            if not isinstance(meaning, Defined | Library):
                raise Uncopied(f"{target} is a module")
            if isinstance(meaning, Defined):
                self._commit(self._closure(meaning, whole=not base or bool(rest)))
            else:
                self._note(meaning)
        except Uncopied as problem:
            self.problems[target] = str(problem)
            return None
        return ".".join(filter(None, (self._written(meaning), rest)))

    def is_whole(self, target: str) -> bool:
        """Returns whether a class comes along with its own constructor, for code that makes or
        names it."""
        module, _, qualname = target.partition(":")
        meaning = Defined(module, qualname.partition(".")[0])
        if meaning not in self._names:
            return False
        return any(self._items.get(item, False) for item in self._statements(meaning))

    def construct(self, target: str, lines: Sequence[str]) -> None:
        """Gives a class that comes along as a base another constructor, instead of a subclass."""
        meaning = self._resolution.name(*target.split(":"))
        assert isinstance(meaning, Defined)
        self._constructors[meaning] = lines

    def why(self, target: str) -> str:
        """Returns why a target cannot be brought along, as far as that is known."""
        if target not in self.problems:
            self.name(target)
        return self.problems.get(target, "it is imported")

    @property
    def postpones_annotations(self) -> bool:
        """Whether the file needs `from __future__ import annotations`."""
        modules = {module for module, _ in self._items}
        return any(self._resolution.module(name).postpones_annotations for name in modules)

    # Closures

    def _closure(self, first: Defined, *, whole: bool) -> _Followed:
        """Returns all that a definition needs, beside what is in the file. Raises Uncopied."""
        found = _Followed({}, {})
        self._follow(found, first, whole=whole)
        waiting = [*found.made.values()]
        while waiting:  # annotations go along if they can, and are left out if not
            made = waiting.pop()
            for meaning, use in [*made.needs()]:
                if use is None or use.annotation is None:
                    continue
                more = _Followed({**found.items}, {**found.made})
                try:
                    self._follow(more, meaning, whole=True)
                except Uncopied:
                    made.untyped.add(use.annotation)
                    continue
                waiting += [each for item, each in more.made.items() if item not in found.made]
                found = more
        return found

    def _follow(self, found: _Followed, first: Defined, *, whole: bool) -> None:
        """Adds all that a definition needs, but for annotations."""
        waiting = [(first, whole)]
        while waiting:
            meaning, whole = waiting.pop()
            for item in self._statements(meaning):
                known = found.items.get(item, self._items.get(item))
                if known is not None and known >= whole:
                    continue
                found.items[item] = whole
                made = found.made[item] = analyse(self._resolution, *item, whole=whole)
                for need, use in made.needs():
                    if need == Defined(item[0], getattr(made.node, "name", "")):
                        continue
                    if use is None or use.annotation is None:
                        waiting.append((need, whole or use is None or use.role != "base"))
            waiting += [(each, True) for each in self._held(meaning) if each != meaning]

    def _statements(self, meaning: Defined) -> Iterator[_Numbered]:
        """Yields the statements that define a name, and those that change its object."""
        source = self._resolution.module(meaning.module)
        numbers = {*source.binds.get(meaning.name, ())}
        if not isinstance(self._live(meaning), _PLAIN):
            numbers |= {*source.changes.get(meaning.name, ())}
            numbers |= {*source.registered.get(meaning.name, ())}
        return ((meaning.module, number) for number in sorted(numbers))

    def _live(self, meaning: Defined) -> Any:
        return vars(self._resolution.module(meaning.module).live).get(meaning.name)

    def _held(self, meaning: Defined) -> Iterator[Defined]:
        """Yields the definitions that a collection holds, which may have put themselves there."""
        live = self._live(meaning)
        values = [*live.values()] if isinstance(live, dict) else live
        if not isinstance(values, list | set):
            return
        for value in values:
            module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", ".")
            if (
                isinstance(value, type | FunctionType)
                and is_own(module or "")
                and name.isidentifier()
            ):
                found = self._resolution.name(module, name)
                if isinstance(found, Defined):
                    yield found

    def _commit(self, found: _Followed) -> None:
        self._items |= found.items
        self._made |= found.made
        for item, made in found.made.items():
            source = self._resolution.module(item[0])
            for name, numbers in source.binds.items():
                if item[1] in numbers:
                    self._define(Defined(item[0], name))
            for library in made.libraries():
                self._note(library)
            for each in made.found:
                if isinstance(each.meaning, Text) and each.meaning.helper:
                    self._help(each.meaning.helper)

    # Names and text

    def _define(self, meaning: Defined) -> None:
        if meaning not in self._names:
            line = f"def {meaning.module}:{meaning.name}"
            self._names[meaning] = self._bind(line, meaning.name)

    def _note(self, library: Library) -> None:
        if library not in self._libraries:
            self._libraries[library] = self._bind(library.statement, library.name) + library.rest

    def _help(self, name: str) -> None:
        if name not in self._helpers:
            self._helpers[name] = self._bind(f"def runner.nn:{name}", name)

    def _written(self, meaning: Meaning) -> str:
        match meaning:
            case Defined():
                return self._names[meaning]
            case Library():
                return self._libraries[meaning]
            case Text(helper=""):
                return meaning.text
            case Text():
                return self._helpers[meaning.helper]
        raise Uncopied(f"{meaning} is a module")

    def texts(self) -> list[str]:
        """Returns the definitions in an order in which each finds what it needs, each below a
        comment that says where it comes from."""
        found = [
            HELPERS[name].replace(f"def {name}(", f"def {written}(")
            for name, written in self._helpers.items()
        ]
        for name in self._modules():
            found += self._texts_of(name)
        return found

    def _texts_of(self, name: str) -> Iterator[str]:
        source = self._resolution.module(name)
        licence = "".join(f"{line}\n" for line in source.licence)
        before: tuple[int, str] | None = None  # the end of a statement, and its text

        def own(bound: str) -> str:
            return self._names[Defined(name, bound)]

        for number in sorted(number for module, number in self._items if module == name):
            item = (name, number)
            start, end, line = source.extent(source.tree.body[number])
            made = self._made[item]
            lines = self._constructors.get(Defined(name, getattr(made.node, "name", "")), ())
            text = rewritten(source, made, self._written, own, lines)
            gap = source.data[before[0] : start] if before is not None else b"\n\n"
            if before is not None and gap.count(b"\n") <= 1 and not gap.strip():
                before = end, f"{before[1]}\n{text}"
                continue
            if before is not None:
                yield before[1]
            before = end, f"{licence}# From {source.place}, line {line}.\n{text}"
            licence = ""
        if before is not None:
            yield before[1]

    def _modules(self) -> list[str]:
        """Returns the modules, those that others import first."""
        wanted = dict.fromkeys(module for module, _ in self._items)
        order: dict[str, None] = {}
        seen: set[str] = set()

        def visit(name: str) -> None:
            if name in seen:
                return
            seen.add(name)
            try:
                source = self._resolution.module(name)
            except Uncopied:
                return
            for module in source.imported:
                if is_own(module) and module.partition(".")[0] != "runner":
                    visit(module)
            order[name] = None

        for name in wanted:
            visit(name)
        return [name for name in order if name in wanted]
