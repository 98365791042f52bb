"""First values that a constructor fills in place: line by line, or as the loop that they were."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, final

from runner.graph.unit import Call, Start, Unit
from runner.graph.writing.expressions import member
from runner.graph.writing.places import access, located
from runner.graph.writing.trees import Local, key_of

_COMPOSED = ("MultiheadAttention", "Transformer", "AdaptiveLogSoftmaxWithLoss")
_LOOP_FROM = 3  # units that are filled alike


@final
@dataclass(frozen=True, slots=True)
class Filling:
    """A call that fills one weight of a module; `optional` if the weight may be None."""

    name: str
    call: Call
    optional: bool


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """What is filled in modules of some classes."""

    classes: tuple[str, ...]
    fillings: tuple[Filling, ...]


@final
@dataclass(frozen=True, slots=True)
class Loop:
    """`for module in <owner>.modules()`, with a rule for each branch."""

    owner: str
    rules: tuple[Rule, ...]

    @property
    def key(self) -> object:
        """Equal for equal loops."""
        rules = tuple(
            (r.classes, tuple((f.name, f.optional, key_of(f.call)) for f in r.fillings))
            for r in self.rules
        )
        return self.owner, rules


def start_lines(unit: Unit, path: str, home: Unit, owner: str) -> list[tuple[str, Any]]:
    """(text before, expression) for all starts of a unit at a path below `home`, which the source
    calls `owner`; a `Loop` stands for many of them."""
    paths = {inner: f"{path}.{p}" if path and p else path or p for p, inner in unit.walk()}
    lines: list[tuple[str, Any]] = []
    for part in _rising(unit):
        rules = _rules(unit, part)
        if rules:
            lines.append(("", Loop(access(home, owner, path), rules)))
        else:
            for start in part:
                place = access(home, owner, paths[start.unit])
                for name in start.name.split("."):
                    place = member(place, name)
                lines.append(("", fill(place, Call(start.target, start.args, start.kwargs))))
    return lines


def fill(place: str, call: Call) -> Call:
    """The call that fills what the source calls `place`."""
    own = call.target.startswith("torch.nn.init:")  # these switch gradients off by themselves
    return Call(call.target, (Local(place if own else f"{place}.data"), *call.args), call.kwargs)


# The modules of a unit, as `modules()` finds them


Spot = tuple[Unit, str]  # a unit and "", or the path of a module inside a layer of torch.nn
_INSIDE = {"torch.nn:MultiheadAttention": {"out_proj": "torch.nn:Linear"}}


def _spots(unit: Unit) -> Iterator[Spot]:
    """All modules, in the order of `modules()`."""
    for _, inner in unit.walk():
        yield inner, ""
        for name in _INSIDE.get(inner.cls.target, ()):
            yield inner, name


def _spot(start: Start) -> Spot:
    return start.unit, start.name.rpartition(".")[0]


def _class(spot: Spot) -> str:
    unit, inside = spot
    return _INSIDE[unit.cls.target][inside] if inside else unit.cls.target


def _rising(unit: Unit) -> Iterator[list[Start]]:
    """The starts in parts, in each of which the modules come in the order of `modules()`."""
    order = {spot: place for place, spot in enumerate(_spots(unit))}
    part: list[Start] = []
    for start in unit.starts:
        if part and order.get(_spot(start), -1) < order.get(_spot(part[-1]), -1):
            yield part
            part = []
        part.append(start)
    if part:
        yield part


def _rules(unit: Unit, starts: Sequence[Start]) -> tuple[Rule, ...]:
    """The rules of a loop over all modules of a unit that does just the same; () for none."""
    filled = {spot: [*group] for spot, group in groupby(starts, _spot)}
    modules = [*_spots(unit)]
    if len(filled) < _LOOP_FROM or not all(_is_seen(inner) for inner, _ in modules):
        return ()
    if not filled.keys() <= {*modules}:
        return ()
    by_class: dict[str, list[Spot]] = {}
    for spot in filled:
        by_class.setdefault(_class(spot), []).append(spot)
    found: dict[tuple[object, ...], Rule] = {}
    for target, spots in by_class.items():
        alike = [spot for spot in modules if _class(spot) == target]
        fillings = _fillings(filled, spots)
        if not target.startswith("torch.nn") or len(alike) != len(spots) or fillings is None:
            return ()
        key = tuple((f.name, f.optional, key_of(f.call)) for f in fillings)
        classes = found[key].classes if key in found else ()
        found[key] = Rule((*classes, target), fillings)
    units = [inner for inner, _ in modules]
    return tuple(found.values()) if _are_apart([*by_class], units) else ()


def _is_seen(unit: Unit) -> bool:
    """Whether `modules()` finds nothing inside that the graph does not show."""
    if unit.hooked:
        return False
    flat = unit.cls.target.startswith("torch.nn") and not unit.name.startswith(_COMPOSED)
    return unit.grade != "basic" or flat or unit.cls.target in _INSIDE


def _fillings(filled: dict[Spot, list[Start]], spots: Sequence[Spot]) -> tuple[Filling, ...] | None:
    """What is filled in each of the modules alike; None if that differs."""
    most = max((filled[spot] for spot in spots), key=len)
    optional: set[str] = set()
    for spot in spots:
        names = {_name(start) for start in filled[spot]}
        missing = {_name(start) for start in most} - names
        expected = [_key(start) for start in most if _name(start) in names]
        if [_key(start) for start in filled[spot]] != expected:
            return None
        if not all(_lacks(spot, name) for name in missing):
            return None
        optional |= missing
    return tuple(
        Filling(_name(s), Call(s.target, s.args, s.kwargs), _name(s) in optional) for s in most
    )


def _lacks(spot: Spot, name: str) -> bool:
    """Whether a layer has None in the place of a weight."""
    unit, inside = spot
    if name in unit.parameters and not inside:
        return unit.parameters[name] is None
    return unit.call is not None and unit.call.kwargs.get(name) is False


def _are_apart(targets: list[str], modules: list[Unit]) -> bool:
    """Whether `isinstance` of one of the classes is true for just the units of that class."""
    classes = {target: located(target) for target in targets}
    for unit in modules:
        real = located(unit.cls.target)
        if not isinstance(real, type) and unit.grade != "graph":
            return False
        for target, cls in classes.items():
            if not isinstance(cls, type):
                return False
            if unit.cls.target != target and isinstance(real, type) and issubclass(real, cls):
                return False
    return True


def _key(start: Start) -> object:
    return _name(start), key_of(Call(start.target, start.args, start.kwargs))


def _name(start: Start) -> str:
    return start.name.rpartition(".")[2]
