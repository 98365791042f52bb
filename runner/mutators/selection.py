"""Selects the places of a mutator: units and calls, by path, class and operation."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, final

from runner.errors import ConfigError, GraphError, as_yaml, did_you_mean
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Unit
from runner.graph.transforms.mutator import Mutator

_PLAIN = (type(None), bool, int, float, str, list, tuple)  # types of candidates that are plain JSON


@final
@dataclass(frozen=True, eq=False)
class Match:
    """A selected place: a unit, or a call of a function or method in the code of a unit."""

    label: str  # the path of the unit, then the operation and, from the second on, a number
    path: str
    unit: Unit
    function: str = ""  # of the unit, if a call was selected
    node: Node | None = None


class Selective(Mutator, ABC):
    """A mutator of the places that `on`, `cls` and `op` select together.

    - `on`: the path of a unit; `*` matches any text without a dot, `**` any text, `?` one
      character, `[2-4]` one of a range, `[!2-4]` any other one. A leading `**.` matches at the top,
      too.
    - `cls`: the name of a class, or its full "module.qualname".
    - `op`: a function or method that is called in the code of units: "relu", which also matches its
      in-place variant "relu_".

    With `tie`, one choice applies to all places; otherwise each place has its own, labelled by its
    path.
    """

    takes_calls = False  # whether it applies to calls, too, as selected by `op`

    def __init__(self, on: str = "", cls: str = "", op: str = "", *, tie: bool = False) -> None:
        if not (on or cls or op):
            raise ConfigError(
                f"{self.word} does not select a place: set `on` (a path such as 'layer[2-4].*'), "
                "`class` or `op`."
            )
        if op and not self.takes_calls:
            raise ConfigError(f"{self.word} applies to modules, not to calls, which `op` selects.")
        if type(tie) is not bool:
            raise ConfigError(f"{self.word}: tie is {as_yaml(tie)}; it must be true or false.")
        self.on, self.cls, self.op, self.tie = on, cls, op, tie

    @property
    def word(self) -> str:
        """The name in configs, and the prefix of labels."""
        return type(self).__name__.lower()

    def mutate(self, graph: Graph) -> None:
        for match in self.matches(graph):
            if graph.root.find(match.path) is match.unit:
                try:
                    self.change(graph, match)
                except GraphError as error:
                    if kept := self._kept(path=match.path):
                        raise type(error)(f"{error}{kept}") from error
                    raise

    def places(self, graph: Graph) -> list[str]:
        return [match.label for match in self.matches(graph)]

    @abstractmethod
    def change(self, graph: Graph, match: Match) -> None:
        """Changes the graph at one place. All places are selected beforehand, parents first; places
        that were removed with a parent since then are skipped."""

    def matches(self, graph: Graph) -> list[Match]:
        """Returns the places in a graph. Raises ConfigError, with similar names, if neither this
        graph nor the unmutated model has any."""
        found = [*self._found(graph)]
        if not found and not any(True for _ in self._found(self.base)):
            raise ConfigError(f"{self.word} matches nothing: {self._missed()}{self._kept()}")
        return found

    def decide(self, candidates: Any, match: Match) -> Any:
        """Returns one of a list of candidates, chosen for this place; anything but a list is
        returned as it is.

        The sample contains candidates that are plain JSON themselves, others by name. A number is
        appended to a label that an earlier mutator uses.
        """
        if not isinstance(candidates, list):
            return candidates
        where = (self.on or self.cls or self.op) if self.tie else match.label
        return self.choice(named(candidates), label=self._free(f"{self.word}/{where}"))

    def _free(self, label: str) -> str:
        asking = self._bound()
        free, number = label, 2
        while free in asking.sample and free not in asking.answers:
            free, number = f"{label}#{number}", number + 1
        return free

    def _found(self, graph: Graph) -> Iterator[Match]:
        fits = _pattern(self.on)
        for path, unit in graph.units():
            if not fits.fullmatch(path) or not (
                path or self.op
            ):  # the root itself cannot be changed
                continue
            if self.cls and not self._is_of(unit):
                continue
            if self.op:
                yield from self._calls(path, unit)
            else:
                yield Match(path, path, unit)

    def _calls(self, path: str, unit: Unit) -> Iterator[Match]:
        counts: Counter[str] = Counter()
        for name, function in unit.functions.items():
            places = [i for i, node in enumerate(function.nodes) if self._is_call(node)]
            nodes = unit.edit(name).nodes if places else []
            for place in places:
                counts[self.op] += 1
                number = "" if counts[self.op] == 1 else str(counts[self.op])
                label = "/".join(filter(None, (path, f"{self.op}{number}")))
                yield Match(label, path, unit, name, nodes[place])

    def _is_of(self, unit: Unit) -> bool:
        return self.cls in (unit.name, unit.cls.target.replace(":", "."))

    def _is_call(self, node: Node) -> bool:
        name = node.target.rpartition(":")[2]
        called = node.op in ("call_function", "call_method")
        return called and self.op in (node.target, name, name.removesuffix("_"))

    def _missed(self) -> str:
        """Returns a message that shows what was selected, and what the model has."""
        units = [(path, unit) for path, unit in self.base.units() if path]
        if self.on and not any(_pattern(self.on).fullmatch(path) for path, _ in units):
            near = did_you_mean(self.on, [path for path, _ in units])
            names = _some([repr(name) for name in self.base.root.children])
            return f"no path of the model matches {self.on!r}.{near} At the top it has {names}."
        if self.cls and not any(self._is_of(unit) for _, unit in units):
            classes = sorted({unit.name for _, unit in units})
            near = did_you_mean(self.cls, classes)
            return f"the model has no {self.cls!r}.{near} It has {_some(classes)}."
        if self.op:
            return self._not_called()
        classes = sorted({unit.name for path, unit in units if _pattern(self.on).fullmatch(path)})
        return f"nothing that matches {self.on!r} is a {self.cls!r}; there is {_some(classes)}."

    def _not_called(self) -> str:
        calling = [
            repr(path) if path else "the model's forward"
            for path, unit in self.base.units()
            if any(self._is_call(node) for f in unit.functions.values() for node in f.nodes)
        ]
        if not calling:
            calls = sorted(_called(self.base))
            near = did_you_mean(self.op, calls)
            known = f"Called are {_some(calls)}." if calls else "No code calls anything."
            return f"no code there calls {self.op!r}.{near} {known}"
        where = " and ".join(filter(None, (self.on and repr(self.on),
                                           self.cls and f"class {self.cls!r}")))  # fmt: skip
        return f"no code of {where} calls {self.op!r}; it is called in {_some(calling)}."

    def _kept(self, *, path: str | None = None) -> str:
        """Returns sentences on the units in which nothing was looked for, and why, or on the one at
        a path; empty if there are none."""
        whole = ("basic", "shell") if self.op else ("basic",)  # the code of shells is not read
        units = dict(self.base.units())
        kept: dict[tuple[str, str], list[str]] = {}
        for note in self.base.notes:
            unit = units.get(note.path)
            if unit is not None and unit.grade in whole and path in (None, note.path):
                kept.setdefault((note.cls, note.text), []).append(note.path or "The model")
        said = [
            f" {_some(paths, 3)} ({cls}) was kept whole: {text}"
            for (cls, text), paths in kept.items()
        ]
        rest = f" So were {len(said) - 2} more; task=describe says why." if len(said) > 2 else ""
        return "".join(said[:2]) + rest


def _some(names: Sequence[str], most: int = 12) -> str:
    """Lists the first names; says so if there are none, or more."""
    return ", ".join([*names[:most], *["…"][: len(names) > most]]) or "nothing"


def check_listed(candidates: Any, word: str, check: Callable[[Any], None]) -> None:
    """Checks each candidate of a list, or a single value. Raises ConfigError for an empty list or a
    duplicate."""
    if isinstance(candidates, list):
        if not candidates:
            raise ConfigError(f"{word}: the list of candidates is empty.")
        names = [repr(name) for name in named(candidates)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"{word} lists a candidate twice: {twice}.")
    for candidate in candidates if isinstance(candidates, list) else [candidates]:
        check(candidate)


def check_switches(switches: Any, word: str) -> None:
    """Checks booleans as `check_listed` does. Raises ConfigError for any other value."""

    def check(switch: Any) -> None:
        if type(switch) is not bool:
            raise ConfigError(f"{word}: {as_yaml(switch)} is neither true nor false.")

    check_listed(switches, word, check)


def named(candidates: list[Any]) -> list[Any] | dict[str, Any]:
    """Returns candidates as `Mutator.choice` takes them: unchanged if all are plain JSON, otherwise
    by name."""
    if all(type(candidate) in _PLAIN for candidate in candidates):
        return candidates
    names = names_of(candidates)
    if len({*names}) < len(names):
        raise ConfigError(f"These candidates cannot be distinguished: {', '.join(names)}.")
    return dict(zip(names, candidates, strict=True))


def names_of(candidates: Sequence[Any]) -> list[str]:
    """Returns distinct readable names of candidates: classes include arguments where needed."""
    short = [_short(candidate) for candidate in candidates]
    return [
        _long(candidate) if short.count(name) > 1 else name
        for candidate, name in zip(candidates, short, strict=True)
    ]


def _short(candidate: Any) -> str:
    if candidate is None:
        return "none"
    thing = candidate.func if isinstance(candidate, partial) else candidate
    name = getattr(thing, "__name__", None)
    return name if isinstance(name, str) else str(thing)


def _long(candidate: Any) -> str:
    if not isinstance(candidate, partial) or not (candidate.args or candidate.keywords):
        return _short(candidate)
    given = [*map(_shown, candidate.args)]
    given += [f"{name}={_shown(value)}" for name, value in candidate.keywords.items()]
    return f"{_short(candidate)}({', '.join(given)})"


def _shown(value: Any) -> str:
    return _long(value) if isinstance(value, partial | type) else repr(value)


def _called(graph: Graph) -> set[str]:
    """Returns the names of all functions and methods that the code of a model calls."""
    return {
        node.target.rpartition(":")[2]
        for _, _, function in graph.methods()
        for node in function.nodes
        if node.op in ("call_function", "call_method")
    }


def _set(part: str) -> str:
    """Converts a shell character set, such as "[!ab]", to a regular expression."""
    inner = part[1:-1].replace("\\", r"\\")
    if inner.startswith("!") and len(inner) > 1:
        return f"[^.{inner[1:]}]"
    return f"[\\{inner}]" if inner.startswith("^") else f"[{inner}]"


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    """Converts a glob of paths to a regular expression; an empty glob matches all."""
    parts = re.split(r"(\*\*\.|\*\*|\*|\?|\[[^\]]*\])", glob or "**")
    special = {"**.": r"(?:.*\.)?", "**": ".*", "*": "[^.]*", "?": "[^.]"}
    text = "".join(
        special.get(part) or (_set(part) if part.startswith("[") else re.escape(part))
        for part in parts
    )
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigError(f"{glob!r} is not a valid path: {error}.") from error
