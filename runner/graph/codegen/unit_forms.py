"""Where units stand: how the source calls them, what holds them, which are imported as they are."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, final

from runner.graph.codegen.copied_methods.copies import CONTAINERS, Copies
from runner.graph.codegen.copied_methods.methods import Copy
from runner.graph.codegen.expressions import member
from runner.graph.ir.argument import text_literal
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import locate
from runner.graph.ir.symbolic import check_decided, is_open
from runner.graph.ir.unit import Unit

Form = Literal["call", "contents", "class"]  # one call; a container of its children; a class
_TORCH = ("torch.", "torch:")


@lru_cache(maxsize=4096)
def located(target: str) -> Any:
    """What "module:qualname" names; None when there is no such thing."""
    try:
        return locate(target)
    except Exception:  # an import runs a module, which may raise anything
        return None


@lru_cache(maxsize=4096)
def _container(target: str) -> str:
    cls = located(target)
    if not isinstance(cls, type):
        return ""
    return next((base.__name__ for base in CONTAINERS if issubclass(cls, base)), "")


def container(unit: Unit) -> str:
    """The container of torch.nn that a unit is, or its class extends; "" for none."""
    return _container(unit.cls.target) if unit.grade in ("graph", "shell") else ""


def is_plain_container(unit: Unit) -> bool:
    """Whether a unit is a container of torch.nn itself, of nothing but children."""
    if unit.grade != "graph" or unit.functions or unit.buffers or unit.attributes:
        return False
    if unit.inherits:
        return False
    module, _, name = unit.cls.target.partition(":")
    if not module.startswith("torch") or _container(unit.cls.target) != name:
        return False
    if has_named_places(unit):
        return False
    return name.startswith("Parameter") or not unit.parameters


def has_named_places(unit: Unit) -> bool:
    """Whether a ModuleList has children under other names than their numbers, as `add_module`
    leaves them; no constructor call makes it."""
    if container(unit) != "ModuleList":
        return False
    return [*unit.children] != [str(place) for place in range(len(unit.children))]


@lru_cache(maxsize=4096)
def is_importable(target: str) -> bool:
    """Whether a file of its own can import "module:qualname"."""
    return target.partition(":")[0] != "__main__" and located(target) is not None


def access(unit: Unit, owner: str, path: str) -> str:
    """How the source calls what is at a path below a unit that it calls `owner`."""
    here: Unit | None = unit
    for name in path.split(".") if path else ():
        owner = _step(here, owner, name)
        here = here.children.get(name) if here is not None else None
    return owner


def _step(unit: Unit | None, owner: str, name: str) -> str:
    kind = container(unit) if unit is not None else ""
    if unit is None or not kind:
        return member(owner, name)
    if kind in ("ModuleDict", "ParameterDict") and name in {**unit.children, **unit.parameters}:
        return f"{owner}[{text_literal(name)}]"
    if kind == "Sequential" and name.isdigit() and name in unit.children:
        return f"{owner}[{[*unit.children].index(name)}]"
    if kind in ("ModuleList", "ParameterList") and name.isdecimal() and name.isascii():
        is_within = name not in unit.children or int(name) < len(unit.children)  # as it checks
        return f"{owner}[{int(name)}]" if is_within else member(owner, name)
    return member(owner, name)


@final
class Sites:
    """What is written out as a class, what is imported, and who is shared, in one graph."""

    def __init__(self, graph: Graph, *, standalone: bool) -> None:
        self.root = graph.root
        self.standalone = standalone
        self._copies = Copies(graph) if standalone else None
        self.home: dict[Unit, str] = {}  # the first path of each unit
        self.again: dict[str, Unit] = {}  # later path -> the shared unit there
        # What to set once a unit is built: (path, path of the owner) below it; None for `build`.
        self.ties: dict[Unit | None, list[tuple[str, str]]] = {}
        self._forms: dict[Unit, Form] = {}
        self._intact: dict[Unit, bool] = {}
        self._visit(graph.root, "")
        for path, unit in self.again.items():
            self._tie(path, self.home[unit])
        for path, owner in graph.ties:
            self._tie(path, owner)

    def _visit(self, unit: Unit, path: str) -> None:
        check_decided(unit, path)
        self.home[unit] = path
        prefix = f"{path}." if path else ""
        for name, child in unit.children.items():
            if child is None:
                continue
            if child in self.home:
                self.again[prefix + name] = child
            else:
                self._visit(child, prefix + name)

    def form(self, unit: Unit) -> Form:
        """How a unit is written."""
        known = self._forms.get(unit)
        if known is None:
            known = self._forms[unit] = self._form(unit)
        return known

    def _form(self, unit: Unit) -> Form:
        if unit.grade == "basic":
            return "call"
        if is_plain_container(unit):
            return "contents"
        if self.standalone and not unit.cls.target.startswith(_TORCH):
            return "class"
        return "call" if self._is_intact(unit) else "class"

    def inherits(self, unit: Unit) -> bool:
        """Whether the class of a unit in the source inherits from the one it came from."""
        return unit.grade == "shell" or (unit.inherits and self.copy(unit) is None)

    def copy(self, unit: Unit) -> Copy | None:
        """What is copied of the class of a unit, so that it need not be inherited from."""
        return None if self._copies is None else self._copies.of(unit)

    def is_built_of_contents(self, unit: Unit) -> bool:
        """Whether a unit is a container that its constructor gives all its children."""
        return container(unit) != "" and not self.inherits(unit) and not has_named_places(unit)

    def is_whole(self, unit: Unit) -> bool:
        """Whether a unit is written as one call of its constructor."""
        return self.form(unit) == "call"

    def is_inline(self, unit: Unit) -> bool:
        """Whether a unit needs no class in the file."""
        return self.form(unit) != "class"

    def _is_intact(self, unit: Unit) -> bool:
        known = self._intact.get(unit)
        if known is None:
            known = self._intact[unit] = (
                not unit.changed
                and (unit.call is not None or is_plain_container(unit))
                and (unit.call is None or not is_open(unit.call))
                and is_importable(unit.cls.target)
                and all(self._is_intact(c) for c in unit.children.values() if c is not None)
            )
        return known

    def _tie(self, path: str, owner: str) -> None:
        """Note that what is at a path is what is at another one."""
        common = _common(path, owner)
        units = [*self._along(common)]
        if any(self.is_whole(unit) for _, unit in units):
            return  # one constructor makes both
        homes = [(at, unit) for at, unit in units if not self.is_inline(unit)]
        at, home = homes[-1] if homes else ("", None)
        cut = len(at) + 1 if at else 0
        self.ties.setdefault(home, []).append((path[cut:], owner[cut:]))

    def _along(self, path: str) -> Iterator[tuple[str, Unit]]:
        """The units on the way to a path, with their paths."""
        unit, here = self.root, ""
        yield here, unit
        for name in path.split(".") if path else ():
            below = unit.children.get(name)
            if below is None:
                return
            unit, here = below, f"{here}.{name}" if here else name
            yield here, unit


def _common(path: str, other: str) -> str:
    """The path of the innermost unit that both paths are below."""
    names = []
    for one, two in zip(path.split(".")[:-1], other.split(".")[:-1], strict=False):
        if one != two:
            break
        names.append(one)
    return ".".join(names)
