"""Forms of units: how each is written, called and shared in the source."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal, final

from runner.graph.codegen.copied_methods.copies import CONTAINERS, Copies
from runner.graph.codegen.copied_methods.methods import Copy
from runner.graph.codegen.expressions.expressions import member
from runner.graph.ir.argument import text_literal
from runner.graph.ir.containers import ChildSteps
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import locate
from runner.graph.ir.symbolic import check_resolved, is_symbolic
from runner.graph.ir.unit import Unit

Form = Literal["call", "contents", "class"]  # one call; a container of its children; a class
_TORCH = ("torch.", "torch:")


def located(target: str) -> Any:
    """Returns the object at "module:qualname"; None if there is none."""
    try:
        return locate(target)
    except Exception:  # importing a module may raise anything
        return None


def _container_of(target: str) -> str:
    """Returns the container of torch.nn that a class is, or derives from; "" for none."""
    cls = located(target)
    if not isinstance(cls, type):
        return ""
    return next((base.__name__ for base in CONTAINERS if issubclass(cls, base)), "")


def container(unit: Unit, of_class: Callable[[str], str] = _container_of) -> str:
    """Returns the container of torch.nn that a unit is, or derives from; "" for none. `of_class`
    may be a cache."""
    return of_class(unit.cls.target) if unit.grade in ("graph", "shell") else ""


def _is_importable(target: str) -> bool:
    """Returns whether another file can import "module:qualname"."""
    return target.partition(":")[0] != "__main__" and located(target) is not None


def _key(unit: Unit, kind: str, name: str) -> str | int | None:
    """Returns what a child or weight of a unit, which is a container of a kind, is written in
    brackets with; None for an attribute."""
    if kind in ("ModuleDict", "ParameterDict") and name in {**unit.children, **unit.parameters}:
        return name
    if kind == "Sequential" and name.isdigit() and name in unit.children:
        return [*unit.children].index(name)
    if kind in ("ModuleList", "ParameterList") and name.isdecimal() and name.isascii():
        is_within = name not in unit.children or int(name) < len(unit.children)  # as torch checks
        return int(name) if is_within else None
    return None


@final
class Sites:
    """The units of a graph: which are written as classes, which are imported, which are shared."""

    def __init__(
        self, graph: Graph, *, standalone: bool, whole: frozenset[str] = frozenset()
    ) -> None:
        """`whole` are the classes of which standalone source has the user's own definition."""
        self.root = graph.root
        self.standalone = standalone
        self._whole = whole
        self._copies = Copies(graph) if standalone else None
        self.home: dict[Unit, str] = {}  # the first path of each unit
        self.repeats: dict[str, Unit] = {}  # further path -> the shared unit there
        # Assigned once a unit is built: (path, path of the owner) below it; None for `build`.
        self.ties: dict[Unit | None, list[tuple[str, str]]] = {}
        self._container_of = functools.cache(_container_of)
        self._forms: dict[Unit, Form] = {}
        self._is_importable = functools.cache(_is_importable)
        self._intact: dict[Unit, bool] = {}
        self._visit(graph.root, "")
        for path, unit in self.repeats.items():
            self._tie(path, self.home[unit])
        for path, owner in graph.ties:
            self._tie(path, owner)

    def _visit(self, unit: Unit, path: str) -> None:
        check_resolved(unit, path)
        self.home[unit] = path
        prefix = f"{path}." if path else ""
        for name, child in unit.children.items():
            if child is None:
                continue
            if child in self.home:
                self.repeats[prefix + name] = child
            else:
                self._visit(child, prefix + name)

    def container(self, unit: Unit) -> str:
        """Returns the container of torch.nn that a unit is, or derives from; "" for none."""
        return container(unit, self._container_of)

    def access(self, unit: Unit, owner: str, path: str) -> str:
        """Returns the expression for a path below a unit, whose own expression is `owner`."""
        for name, key in self._keys(unit, path):
            if key is None:
                owner = member(owner, name)
            else:
                owner = f"{owner}[{text_literal(key) if type(key) is str else key}]"
        return owner

    def steps(self, unit: Unit, path: str) -> ChildSteps:
        """Returns the functions that lead from a unit to a path below, with their arguments."""
        return tuple(
            ("builtins:getattr", name) if key is None else ("operator:getitem", key)
            for name, key in self._keys(unit, path)
        )

    def _keys(self, unit: Unit, path: str) -> Iterator[tuple[str, str | int | None]]:
        """Yields the names on a path below a unit, each with what is written in brackets, if its
        parent is a container."""
        here: Unit | None = unit
        for name in path.split(".") if path else ():
            kind = "" if here is None else self.container(here)
            yield name, None if here is None or not kind else _key(here, kind, name)
            here = here.children.get(name) if here is not None else None

    def form(self, unit: Unit) -> Form:
        """Returns how a unit is written."""
        known = self._forms.get(unit)
        if known is None:
            known = self._forms[unit] = self._form(unit)
        return known

    def _form(self, unit: Unit) -> Form:
        if unit.grade == "basic":
            return "call"
        if self._is_plain_container(unit):
            return "contents"
        if self.standalone and not unit.cls.target.startswith(_TORCH):
            is_known = unit.cls.target in self._whole and unit.grade == "graph"
            return "call" if is_known and self._is_intact(unit) else "class"
        return "call" if self._is_intact(unit) else "class"

    def inherits(self, unit: Unit) -> bool:
        """Returns whether the class of a unit inherits from the class it was converted from."""
        if unit.grade == "shell" or (unit.inherits and self.copy(unit) is None):
            return True
        return unit.cls.target in self._whole

    def copy(self, unit: Unit) -> Copy | None:
        """Returns the methods copied from the class of a unit, if it does not inherit from it."""
        if self._copies is None or unit.cls.target in self._whole:
            return None
        return self._copies.of(unit)

    def is_built_of_contents(self, unit: Unit) -> bool:
        """Returns whether a unit is a container whose constructor takes all its children."""
        if self.container(unit) == "" or self.inherits(unit):
            return False
        return not self._has_named_places(unit)

    def _is_plain_container(self, unit: Unit) -> bool:
        """Returns whether a unit is a plain container of torch.nn, with nothing but children."""
        if unit.grade != "graph" or unit.functions or unit.buffers or unit.attributes:
            return False
        if unit.inherits:
            return False
        module, _, name = unit.cls.target.partition(":")
        if not module.startswith("torch") or self.container(unit) != name:
            return False
        if self._has_named_places(unit):
            return False
        return name.startswith("Parameter") or not unit.parameters

    def _has_named_places(self, unit: Unit) -> bool:
        """Returns whether a ModuleList has children under other names than their indices, as after
        `add_module`; no constructor call builds it."""
        if self.container(unit) != "ModuleList":
            return False
        return [*unit.children] != [str(place) for place in range(len(unit.children))]

    def is_whole(self, unit: Unit) -> bool:
        """Returns whether a unit is written as one constructor call."""
        return self.form(unit) == "call"

    def is_inline(self, unit: Unit) -> bool:
        """Returns whether a unit needs no class in the file."""
        return self.form(unit) != "class"

    def _is_intact(self, unit: Unit) -> bool:
        known = self._intact.get(unit)
        if known is None:
            known = self._intact[unit] = (
                not unit.changed
                and (unit.call is not None or self._is_plain_container(unit))
                and (unit.call is None or not is_symbolic(unit.call))
                and self._is_importable(unit.cls.target)
                and all(self._is_intact(c) for c in unit.children.values() if c is not None)
            )
        return known

    def _tie(self, path: str, owner: str) -> None:
        """Records a tie, assigned in the innermost class that encloses both paths, unless one
        constructor call builds both."""
        names, owners = path.split("."), owner.split(".")
        unit: Unit | None = self.root
        home, cut = None, 0
        for depth, (name, other) in enumerate(zip(names, owners, strict=False)):
            if unit is None:
                break
            if self.is_whole(unit):
                return
            if not self.is_inline(unit):
                home, cut = unit, depth
            unit = unit.children.get(name) if name == other else None
        self.ties.setdefault(home, []).append((".".join(names[cut:]), ".".join(owners[cut:])))
