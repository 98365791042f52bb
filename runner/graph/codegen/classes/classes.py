"""The classes of a generated file: units that differ only in literals share one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, final

from runner.errors import GraphError
from runner.graph.codegen.carried_source.bundle import Bundle
from runner.graph.codegen.classes.anti_unification import (
    ConstructorParameter,
    Decomposition,
    Signatures,
    Unified,
)
from runner.graph.codegen.classes.constructor_plan import Planner
from runner.graph.codegen.classes.iterated_containers import iterated_containers
from runner.graph.codegen.classes.unit_forms import Sites, located
from runner.graph.codegen.copied_methods.methods import own_classes
from runner.graph.codegen.expressions.expression_trees import (
    ExpressionTree,
    LocalName,
    New,
    Statement,
    draws_nothing,
    key_of,
)
from runner.graph.codegen.expressions.imports import Imports, as_name
from runner.graph.codegen.functions.generate_function import FunctionTemplate, template
from runner.graph.ir.argument import leaves_and_calls
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit

_Decomposed = tuple[Unit, Decomposition]
_MOST_PARAMETERS = 8
_MOST_MODULES = 4  # children that may differ as a whole


@final
class Class:
    """A class of the file."""

    def __init__(
        self, unit: Unit, base: str, functions: Sequence[Sequence[str]], unified: Unified
    ) -> None:
        self.unit = unit
        self.base = base  # its base class
        self.inherits = False  # whether the base is the class of the unit
        self.name = as_name(unit.name)
        self.functions = functions  # the lines of each method
        self.copied: Sequence[str] = ()  # the methods that its source has, as text
        self.merged = False  # whether its base comes along, and takes its constructor
        self.parameters: Sequence[ConstructorParameter] = unified.parameters
        self.by_keyword = {p.name for p in unified.parameters if p.is_keyword}
        self.steps: list[Statement] = unified.steps()


@final
class Classes:
    """All classes of a file, each defined before it is used."""

    def __init__(
        self, sites: Sites, imports: Imports, templates: dict[Unit, list[FunctionTemplate]]
    ) -> None:
        self.all: list[Class] = []
        self.planner = Planner(sites)
        self._signatures = Signatures()
        self._sites = sites
        self._imports = imports
        self._templates = templates
        for units in _in_order(sites):
            self._add(units)
        self.all = [*self._by_first_use(sites.root, set())]

    def _add(self, units: Sequence[Unit]) -> None:
        """Adds the classes of units that come from one class."""
        groups: dict[Any, list[tuple[Unit, list[Statement]]]] = {}
        texts: dict[Any, list[list[str]]] = {}
        for unit in units:
            steps = self.planner.steps(unit, self._sites.home[unit])
            functions = self._functions(unit)
            key = (
                unit.cls.target,
                self._sites.inherits(unit),
                self._copied(unit),
                tuple([(step.kind, step.name, key_of(step.options)) for step in steps]),
                tuple(["\n".join(lines) for lines in functions]),
            )
            groups.setdefault(key, []).append((unit, steps))
            texts[key] = functions
        for key, group in groups.items():
            self._divide(group, texts[key])

    def _by_first_use(self, unit: Unit, seen: set[Unit | Class]) -> Iterator[Class]:
        """Yields the classes of a unit and of those below, parts first: an order that does not
        depend on which of them come from one class."""
        for inner in _next(unit, self._sites):
            if inner not in seen:
                seen.add(inner)
                yield from self._by_first_use(inner, seen)
        made = self.planner.made.get(unit)
        if made is not None and made.cls not in seen:
            seen.add(made.cls)
            yield made.cls

    def _functions(self, unit: Unit) -> list[list[str]]:
        def called(path: str) -> str:
            return self._sites.access(unit, "self", path)

        try:
            return [each.lines(self._imports, called, "self") for each in self._templates[unit]]
        except GraphError as error:
            path = self._sites.home[unit] or "the model"
            raise GraphError(f"{path} ({unit.name}), {error}") from error

    def _divide(
        self, group: Sequence[tuple[Unit, list[Statement]]], functions: list[list[str]]
    ) -> None:
        """Adds as few classes as possible for units with the same functions."""
        by_skeleton = _by_skeleton([(unit, self._decomposed(steps)) for unit, steps in group])
        if len(by_skeleton) > 1:
            whole = _differing(by_skeleton)
            if whole:
                shapes = [(unit, self._decomposed(steps, whole)) for unit, steps in group]
                unified = Unified(_distinct(shapes)) if len(_by_skeleton(shapes)) == 1 else None
                if unified is not None and unified.fits and unified.count <= _MOST_PARAMETERS:
                    self._make(shapes, unified, functions)
                    return
        for shapes in by_skeleton:
            unified = Unified(_distinct(shapes))
            if unified.fits and unified.count <= _MOST_PARAMETERS:
                self._make(shapes, unified, functions)
                continue
            alike: dict[Any, list[_Decomposed]] = {}
            for unit, shape in shapes:
                alike.setdefault(shape.key, []).append((unit, shape))
            for same in alike.values():
                self._make(same, Unified([same[0][1]]), functions)

    def _decomposed(
        self, steps: Sequence[Statement], whole: frozenset[int] = frozenset()
    ) -> Decomposition:
        return Decomposition(steps, self._signatures, whole)

    def _make(
        self,
        shapes: Sequence[_Decomposed],
        unified: Unified,
        functions: list[list[str]],
    ) -> None:
        unit = shapes[0][0]
        made = Class(unit, self._base(unit), functions, unified)
        made.copied = self._copied(unit)
        made.inherits = self._sites.inherits(unit)
        self.all.append(made)
        for unit, shape in shapes:
            self.planner.made[unit] = New(made, unified.arguments(shape))

    def _base(self, unit: Unit) -> str:
        """Returns the base of the class of a unit."""
        if self._sites.inherits(unit):
            return unit.cls.target
        return f"torch.nn:{self._sites.container(unit) or 'Module'}"

    def _copied(self, unit: Unit) -> tuple[str, ...]:
        """Returns the methods that are copied from the class of a unit."""
        copy = self._sites.copy(unit)
        if copy is None:
            return ()
        for target, text in copy.helpers.items():
            self._imports.define(target, text)
        return tuple([self._imports.named(text) for text in copy.members])

    def isinstance_target(self, target: str) -> str:
        """Returns the second argument of isinstance for a class that the source does not import:
        the classes generated for it and its subclasses."""
        asked = locate(target)
        found = [made.name for made in self.all if issubclass(locate(made.unit.cls.target), asked)]
        return found[0] if len(found) == 1 else f"({', '.join(found)})"

    def asked(self, bundle: Bundle) -> frozenset[str]:
        """Returns the targets of the classes for which code that comes along asks, or for a base
        of which, although their instances are of classes of this file."""
        return frozenset(
            made.unit.cls.target
            for made in self.all
            for cls in _own_classes(made.unit.cls.target)
            if bundle.is_whole(f"{cls.__module__}:{cls.__qualname__}")
        )

    @property
    def written(self) -> list[Class]:
        """All that are not merged with their base."""
        return [made for made in self.all if not made.merged]

    def merge(self, whole: frozenset[str]) -> None:
        """Lets classes whose base comes along, for them alone, be that class, unless that is needed
        as a `whole` beside them."""
        bundle = self._imports.bundle
        bases = Counter(made.base for made in self.all if made.inherits)
        for made in self.all:
            if bundle is None or not made.inherits or made.unit.grade != "shell":
                continue
            if made.base in whole or "." in made.base.partition(":")[2]:
                continue
            if bases[made.base] == 1:
                name = self._imports.base(made.base)
                if made.base not in bundle.problems:
                    made.name, made.merged = name, True

    def name(self, taken: Iterable[str]) -> None:
        """Assigns the classes names that are not taken."""
        used = {*taken}
        for made in self.all:
            if made.merged:
                continue
            base = as_name(made.unit.name)
            made.name, number = base, 2
            while made.name in used:
                made.name, number = f"{base}{number}", number + 1
            used.add(made.name)


def _own_classes(target: str) -> list[Any]:
    """Returns the user's classes in the MRO of a class; none if it cannot be imported."""
    cls = located(target)
    return own_classes(cls) if isinstance(cls, type) else []


def templates_of(sites: Sites, unit: Unit) -> list[FunctionTemplate]:
    """Returns the templates of all functions of a unit."""
    return [
        template(function, iterated_containers(sites, unit, function, shared=shared), shared=shared)
        for name, function in unit.functions.items()
        for shared in [not unit.owns(name)]
    ]


def arguments(new: New) -> tuple[list[ExpressionTree], dict[str, ExpressionTree]]:
    """Returns the arguments of a constructor call, without those that equal their defaults."""
    args: list[ExpressionTree] = []
    kwargs: dict[str, ExpressionTree] = {}
    for parameter in new.cls.parameters:
        value = new.args[parameter.name]
        if not parameter.is_keyword:
            args.append(value)
        elif key_of(value) != key_of(parameter.default[0]):
            kwargs[parameter.name] = value
    return args, kwargs


def _in_order(sites: Sites) -> Iterator[list[Unit]]:
    """Yields the units that need a class, those of one class together, after their parts."""
    units = [*_expanded(sites.root, sites)]
    by_class: dict[str, list[Unit]] = {}
    for unit in units:
        by_class.setdefault(unit.cls.target, []).append(unit)
    below = {
        target: dict.fromkeys(inner.cls.target for unit in same for inner in _next(unit, sites))
        for target, same in by_class.items()
    }
    try:
        for target in TopologicalSorter(below).static_order():
            yield by_class[target]
    except CycleError:  # a class with instances of itself inside
        yield from _by_height(units, sites)


def _expanded(unit: Unit, sites: Sites) -> Iterator[Unit]:
    """Yields the units that need a class, each once, parents first."""
    seen: set[Unit] = set()
    waiting = [unit]
    while waiting:
        unit = waiting.pop()
        if unit in seen or sites.is_whole(unit):
            continue
        seen.add(unit)
        if not sites.is_inline(unit):
            yield unit
        waiting += [child for child in reversed(unit.children.values()) if child is not None]


def _next(unit: Unit, sites: Sites) -> Iterator[Unit]:
    """Yields the nearest units below that need a class."""
    for child in unit.children.values():
        if child is None or sites.is_whole(child):
            continue
        if sites.is_inline(child):
            yield from _next(child, sites)
        else:
            yield child


def _by_height(units: Sequence[Unit], sites: Sites) -> Iterator[list[Unit]]:
    heights: dict[Unit, int] = {}
    batches: dict[tuple[int, str], list[Unit]] = {}
    for unit in reversed(units):
        heights[unit] = 1 + max((heights.get(c, 0) for c in _next(unit, sites)), default=0)
    for unit in units:
        batches.setdefault((heights[unit], unit.cls.target), []).append(unit)
    for key in sorted(batches):
        yield batches[key]


def _by_skeleton(
    shapes: Sequence[_Decomposed],
) -> list[list[_Decomposed]]:
    groups: dict[Any, list[_Decomposed]] = {}
    for unit, shape in shapes:
        groups.setdefault(tuple(shape.skeletons), []).append((unit, shape))
    return [*groups.values()]


def _distinct(shapes: Sequence[_Decomposed]) -> list[Decomposition]:
    return [*{shape.key: shape for _, shape in reversed(shapes)}.values()][::-1]


def _differing(groups: Sequence[Sequence[_Decomposed]]) -> frozenset[int]:
    """Returns the positions of the children in which constructors differ as a whole; none if they
    differ elsewhere, in too many, or in children that cannot be built before the others."""
    shapes = [group[0][1] for group in groups]
    steps = shapes[0].steps
    places = [
        place
        for place in range(len(steps))
        if len({shape.skeletons[place] for shape in shapes}) > 1
    ]
    if not 0 < len(places) <= _MOST_MODULES:
        return frozenset()
    for place in range(max(places) + 1):
        trees = [shape.steps[place].tree for shape in shapes]
        if place in places:
            if steps[place].kind != "child" or any(map(_has_local, trees)):
                return frozenset()
        elif not all(map(draws_nothing, trees)):
            return frozenset()
    return frozenset(places)


def _has_local(tree: ExpressionTree) -> bool:
    return any(type(leaf) is LocalName for leaf in leaves_and_calls(tree))
