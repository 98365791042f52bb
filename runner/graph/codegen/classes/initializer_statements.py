"""Initializer statements: weights filled in place, line by line or in a loop over modules."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, final

from runner.graph.codegen.classes.initializer_checks import is_possible
from runner.graph.codegen.classes.unit_forms import located
from runner.graph.codegen.expressions.expression_trees import LocalName, key_of
from runner.graph.codegen.expressions.expressions import member
from runner.graph.ir.argument import leaves_and_calls, map_made
from runner.graph.ir.signature import signature
from runner.graph.ir.unit import SET, Call, ConstructionTime, Start, Unit, joined
from runner.operators import is_random

_COMPOSED = ("MultiheadAttention", "Transformer", "AdaptiveLogSoftmaxWithLoss")
UnitAccess = Callable[[Unit, str, str], str]
_LOOP_FROM = 3  # units that are filled alike


@final
@dataclass(frozen=True, slots=True)
class Filling:
    """A call that fills a weight of a module; `optional` if the weight may be None."""

    name: str
    call: Call
    optional: bool


@final
@dataclass(frozen=True, slots=True)
class InitializerRule:
    """The calls that fill the weights of modules of some classes."""

    classes: tuple[str, ...]
    fillings: tuple[Filling, ...]


@final
@dataclass(frozen=True, slots=True)
class Loop:
    """A loop `for module in <owner>.modules()`, with a rule for each branch."""

    owner: str
    rules: tuple[InitializerRule, ...]

    @property
    def key(self) -> object:
        """A key that is equal for equal loops."""
        rules = tuple(
            (r.classes, tuple((f.name, f.optional, key_of(f.call)) for f in r.fillings))
            for r in self.rules
        )
        return self.owner, rules


def start_lines(
    unit: Unit, starts: Sequence[Start], path: str, home: Unit, owner: str, access: UnitAccess
) -> list[tuple[str, Any]]:
    """Returns (text before, expression) for starts of a unit at a path below `home`, called `owner`
    in the source; the expression is a `Loop` for many of them. `access` is that of `Sites`."""
    paths = {inner: joined(path, p) for p, inner in unit.walk()}
    lines: list[tuple[str, Any]] = []
    for part in _runs(unit, starts):
        rules = _rules(unit, part)
        if rules:
            lines.append(("", Loop(access(home, owner, path), rules)))
            continue
        for start in part:
            place = access(home, owner, paths[start.unit])
            for name in start.name.split("."):
                place = member(place, name)
            args, kwargs = map_made(
                (start.args, {**start.kwargs}), lambda u: LocalName(access(home, owner, paths[u]))
            )
            lines.append(("", fill(place, Call(start.target, args, kwargs), start.part)))
    return lines


def early_starts(
    unit: Unit, late: Sequence[bool], weights: Sequence[ConstructionTime]
) -> tuple[list[tuple[ConstructionTime, Start]], list[Start]]:
    """Returns the starts that run while a unit is constructed, with their times, and the others.

    Starts run at the end, except those up to the last one that draws random numbers before a child
    or a weight does. `late` says of each child whether it draws any, `weights` are the times of the
    weights that do.
    """
    names = [*unit.children]
    below = {
        inner: names.index(name) + 1
        for name, child in reversed(unit.children.items())
        if child is not None
        for _, inner in child.walk()
    }
    starts = [start for start in unit.starts if is_possible(start, unit)]
    count = len(starts)
    while count and not _is_early(starts[count - 1], late, weights):
        count -= 1
    found: list[tuple[ConstructionTime, Start]] = []
    last: ConstructionTime = (0, 0)
    for start in starts[:count]:
        place = start.place or (len(names), 0)
        children = max(below.get(inner, 0) for inner in start.units)
        last = max(last, place, (children, place[1]))
        found.append((last, start))
    return found, starts[count:]


def _is_early(start: Start, late: Sequence[bool], weights: Sequence[ConstructionTime]) -> bool:
    """Returns whether a start draws random numbers before a child or a weight does."""
    place = start.place
    if place is None or not (any(late[place[0] :]) or any(place < other for other in weights)):
        return False
    inner = leaves_and_calls((start.args, {**start.kwargs}))
    targets = [start.target, *(part.target for part in inner if type(part) is Call)]
    return any(map(is_random, targets))


def fill(place: str, call: Call, part: Sequence[Call] = ()) -> Call:
    """Returns the call that fills `place`, an expression of the source, or a part of it."""
    if part:
        inner: Any = LocalName(f"{place}.data")
        for step in part:
            inner = Call(step.target, (inner, *step.args), step.kwargs)
        return Call(call.target, (inner, *call.args), call.kwargs)
    if call.target == SET:
        return Call("builtins:setattr", (LocalName(place), "data", *call.args))
    if not call.target.startswith("torch.nn.init:"):  # these disable gradients themselves
        return Call(call.target, (LocalName(f"{place}.data"), *call.args), call.kwargs)
    plain = [name for name in _required(call.target) if name in call.kwargs]
    named = {name: value for name, value in call.kwargs.items() if name not in plain}
    args = (LocalName(place), *call.args, *(call.kwargs[name] for name in plain))
    return Call(call.target, args, named)


def _required(target: str) -> list[str]:
    """Returns the arguments without a default, passed by position: `constant_(weight, 1)`."""
    parameters = signature(target).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


# The modules of a unit, in the order of `modules()`


InnerModule = tuple[Unit, str]  # a unit and "", or the path of a module inside a layer of torch.nn
_INSIDE = {"torch.nn:MultiheadAttention": {"out_proj": "torch.nn:Linear"}}


def _modules(unit: Unit) -> Iterator[InnerModule]:
    """Yields all modules, in the order of `modules()`."""
    for _, inner in unit.walk():
        yield inner, ""
        for name in _INSIDE.get(inner.cls.target, ()):
            yield inner, name


def _module_of(start: Start) -> InnerModule:
    return start.unit, start.name.rpartition(".")[0]


def _class(spot: InnerModule) -> str:
    unit, inside = spot
    return _INSIDE[unit.cls.target][inside] if inside else unit.cls.target


def _runs(unit: Unit, starts: Sequence[Start]) -> Iterator[list[Start]]:
    """Yields the starts in runs, in each of which the modules are in the order of `modules()`."""
    order = {spot: place for place, spot in enumerate(_modules(unit))}
    part: list[Start] = []
    for start in starts:
        if part and order.get(_module_of(start), -1) < order.get(_module_of(part[-1]), -1):
            yield part
            part = []
        part.append(start)
    if part:
        yield part


def _rules(unit: Unit, starts: Sequence[Start]) -> tuple[InitializerRule, ...]:
    """Returns the rules of a loop over all modules of a unit with the same effect; () for none."""
    filled = {spot: [*group] for spot, group in groupby(starts, _module_of)}
    modules = [*_modules(unit)]
    if any(start.part or start.reads for start in starts):
        return ()
    if len(filled) < _LOOP_FROM or not all(_shows_all_modules(inner) for inner, _ in modules):
        return ()
    if not filled.keys() <= {*modules}:
        return ()
    by_class: dict[str, list[InnerModule]] = {}
    for spot in filled:
        by_class.setdefault(_class(spot), []).append(spot)
    found: dict[tuple[object, ...], InitializerRule] = {}
    for target, spots in by_class.items():
        alike = [spot for spot in modules if _class(spot) == target]
        fillings = _fillings(filled, spots)
        if not target.startswith("torch.nn") or len(alike) != len(spots) or fillings is None:
            return ()
        key = tuple((f.name, f.optional, key_of(f.call)) for f in fillings)
        classes = found[key].classes if key in found else ()
        found[key] = InitializerRule((*classes, target), fillings)
    units = [inner for inner, _ in modules]
    return tuple(found.values()) if _are_disjoint([*by_class], units) else ()


def _shows_all_modules(unit: Unit) -> bool:
    """Returns whether the graph has all modules that `modules()` would find in a unit."""
    if unit.hooked:
        return False
    flat = unit.cls.target.startswith("torch.nn") and not unit.name.startswith(_COMPOSED)
    return unit.grade != "basic" or flat or unit.cls.target in _INSIDE


def _fillings(
    filled: dict[InnerModule, list[Start]], spots: Sequence[InnerModule]
) -> tuple[Filling, ...] | None:
    """Returns the calls that fill the weights of each of some modules; None if they differ."""
    most = max((filled[spot] for spot in spots), key=len)
    optional: set[str] = set()
    for spot in spots:
        names = {_name(start) for start in filled[spot]}
        missing = {_name(start) for start in most} - names
        expected = [_key(start) for start in most if _name(start) in names]
        if [_key(start) for start in filled[spot]] != expected:
            return None
        if not all(_is_none(spot, name) for name in missing):
            return None
        optional |= missing
    return tuple(
        Filling(_name(s), Call(s.target, s.args, s.kwargs), _name(s) in optional) for s in most
    )


def _is_none(spot: InnerModule, name: str) -> bool:
    """Returns whether a weight of a layer is None."""
    unit, inside = spot
    if name in unit.parameters and not inside:
        return unit.parameters[name] is None
    return unit.call is not None and unit.call.kwargs.get(name) is False


def _are_disjoint(targets: list[str], modules: list[Unit]) -> bool:
    """Returns whether `isinstance` holds for no subclass: each unit for its own class only."""
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
