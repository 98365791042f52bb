"""Constructor plans: the statements of each unit's constructor, before classes are merged."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import final

from runner.errors import GraphError
from runner.graph.codegen.classes.initializer_checks import is_possible
from runner.graph.codegen.classes.initializer_statements import early_starts, start_lines
from runner.graph.codegen.classes.unit_forms import Sites
from runner.graph.codegen.expressions.expression_trees import (
    ExpressionTree,
    LocalName,
    New,
    Statement,
    draws_nothing,
)
from runner.graph.codegen.expressions.imports import is_name
from runner.graph.ir.argument import UNRECORDED, map_made
from runner.graph.ir.unit import CAST, Call, ConstructionTime, Ref, Start, Unit, Weight, joined

_Arguments = tuple[tuple[ExpressionTree, ...], dict[str, ExpressionTree]]
_Assignment = tuple[str, ExpressionTree]  # text before an expression, and the expression


@final
class Planner:
    """A planner of the constructors of the units of one graph."""

    def __init__(self, sites: Sites) -> None:
        self.sites = sites
        self.made: dict[Unit, New] = {}  # for each unit that is written as a class
        self._home: Unit | None = None  # the unit whose constructor is being planned

    # Expressions that build units

    def construct(self, unit: Unit, path: str) -> ExpressionTree:
        """Returns the expression that builds a unit."""
        if self.sites.is_whole(unit):
            made: ExpressionTree = self._call(unit, path)
        elif self.sites.form(unit) == "contents":
            made = Call(f"torch.nn:{unit.name}", *self._contents(unit, path))
        else:
            made = self.made[unit]
        for hook in unit.hooked:
            target = ".to" if hook.target == CAST else hook.target
            built = self._built(hook, path)
            made = Call(target, (made, *built.args), built.kwargs)
        return made

    def _call(self, unit: Unit, path: str) -> Call:
        call = unit.call
        if call is None:
            raise GraphError(
                f"{path or 'the model'}: the constructor call of this {unit.name} is unknown. "
                f"{UNRECORDED}"
            )
        return self._built(call, path)

    def _built(self, call: Call, path: str) -> Call:
        """Returns a call whose unit arguments are replaced by expressions that build them."""
        built: Call = map_made(call, lambda unit: self.construct(unit, path))
        return built

    def _child(self, unit: Unit | None, path: str) -> ExpressionTree:
        """Returns the expression for a child; a stand-in for a shared one assigned later."""
        if unit is None:
            return None
        if path not in self.sites.repeats:
            return self.construct(unit, path)
        return self._local(unit, path) or Call("torch.nn:Identity")

    def _local(self, unit: Unit, path: str) -> ExpressionTree:
        """Returns a shared child that this constructor has already assigned; None for any other."""
        home = self._home
        owner, _, name = self.sites.home[unit].rpartition(".")
        if home is None or self.sites.home[home] != owner:
            return None
        tie = (path[len(owner) + 1 :] if owner else path, name)
        ties = self.sites.ties.get(home, [])
        if tie not in ties:
            return None
        ties.remove(tie)
        return LocalName(self.sites.access(home, "self", name))

    def _contents(self, unit: Unit, path: str) -> _Arguments:
        """Returns the constructor arguments that hold the children of a container."""
        kind = self.sites.container(unit)
        if kind.startswith("Parameter"):
            weights = {name: parameter_tree(weight) for name, weight in unit.parameters.items()}
            return ((weights if kind == "ParameterDict" else [*weights.values()]),), {}
        trees = self._children(unit, path)
        if not trees:
            return (), {}
        if kind == "ModuleDict":
            return (trees,), {}
        if kind == "ModuleList":
            return ([*trees.values()],), {}
        if [*trees] == [str(place) for place in range(len(trees))]:
            return tuple(trees.values()), {}
        return (Call("collections:OrderedDict", ([*trees.items()],)),), {}

    def _children(self, unit: Unit, path: str) -> dict[str, ExpressionTree]:
        prefix = f"{path}." if path else ""
        return {name: self._child(child, prefix + name) for name, child in unit.children.items()}

    # Constructors

    def steps(self, unit: Unit, path: str) -> list[Statement]:
        """Returns the statements of the constructor of a unit."""
        is_container = self.sites.is_built_of_contents(unit)
        self._home = None if is_container else unit
        args, kwargs = self._contents(unit, path) if is_container else ((), {})
        steps = [Statement("super", "", Call("super", args, kwargs))]
        weights, own = self._weights(unit), unit.starts
        if is_container:
            steps += [step for _, step in weights]
            steps += _attributes(unit)
        else:
            timeline, own = self._timeline(unit, path, weights)
            timed = {id(step) for _, step in timeline}
            steps += [step for _, step in weights if id(step) not in timed]
            steps += _attributes(unit)
            steps += self._in_time(unit, timeline)
        lines = self.later_statements(unit, "self", own)
        steps += [Statement("line", line, tree) for line, tree in lines]
        self._home = None
        return steps

    def _timeline(
        self, unit: Unit, path: str, weights: Sequence[tuple[ConstructionTime | None, Statement]]
    ) -> tuple[list[tuple[ConstructionTime, Statement | Start]], list[Start]]:
        """Returns the statements and early starts in order, and the starts that come afterwards."""
        trees = self._children(unit, path)
        late = [not draws_nothing(tree) for tree in trees.values()]
        early, own = early_starts(unit, late, [place for place, _ in weights if place is not None])
        first = min((place for place, _ in early), default=None)
        timeline: list[tuple[ConstructionTime, Statement | Start]] = [
            ((number, -1), Statement("child", name, tree))
            for number, (name, tree) in enumerate(trees.items(), 1)
        ]
        last: dict[str, ConstructionTime] = {}  # by kind; the order within a kind is kept
        for place, step in weights:
            if place is not None and (any(late[: place[0]]) or (first and first < place)):
                last[step.kind] = max(place, last.get(step.kind, place))
            if step.kind in last:
                timeline.append((last[step.kind], step))
        timeline += early
        return sorted(timeline, key=lambda one: one[0]), own

    def _in_time(
        self, unit: Unit, timeline: Sequence[tuple[ConstructionTime, Statement | Start]]
    ) -> Iterator[Statement]:
        for is_start, group in groupby(timeline, lambda one: isinstance(one[1], Start)):
            if is_start:
                starts = [start for _, start in group if isinstance(start, Start)]
                for before, tree in start_lines(unit, starts, "", unit, "self", self.sites.access):
                    yield Statement("line", before, tree)
            else:
                yield from (step for _, step in group if isinstance(step, Statement))

    def _weights(self, unit: Unit) -> list[tuple[ConstructionTime | None, Statement]]:
        """Returns statements for parameters and buffers, each with its time; None for any time."""
        if self.sites.container(unit).startswith("Parameter") and self.sites.is_built_of_contents(
            unit
        ):
            return []
        steps = [
            (weight and weight.place, Statement("parameter", name, parameter_tree(weight)))
            for name, weight in unit.parameters.items()
        ]
        for name, weight in unit.buffers.items():
            kept = name not in unit.unsaved if weight is None else weight.persistent
            options = {} if kept else {"persistent": False}
            tree = weight and _first_value(weight, "zeros")
            steps.append((weight and weight.place, Statement("buffer", name, tree, options)))
        return steps

    def later_statements(
        self, unit: Unit, owner: str, own_starts: Sequence[Start] | None = None
    ) -> list[_Assignment]:
        """Returns edits, ties and starts that follow the construction of a unit, called `owner` in
        the source: its own, and those of units below it without a class. `own_starts` are the
        remaining ones of its own starts; None for all."""
        own = self._inline_below(unit, "", set())
        lines: list[_Assignment] = []
        for path, inner in own:
            for edit in inner.edits:
                place = joined(path, inner.path_to(edit.unit, edit.path))
                there = self.sites.access(unit, owner, place)
                lines.append(_setting(there, edit.name, edit.value))
        home = None if self.sites.is_inline(unit) else unit
        for path, first in self.sites.ties.get(home, ()):
            there = self.sites.access(unit, owner, first)
            lines.append(self._tie(unit, owner, path, LocalName(there)))
        for path, inner in own:
            if inner.starts and not self.sites.is_whole(inner):
                starts = own_starts if inner is unit and own_starts is not None else None
                if starts is None:
                    starts = [start for start in inner.starts if is_possible(start, inner)]
                lines += start_lines(inner, starts, path, unit, owner, self.sites.access)
        return lines

    def _tie(self, unit: Unit, owner: str, path: str, value: ExpressionTree) -> _Assignment:
        place = self.sites.access(unit, owner, path)
        if place.endswith("]"):
            return f"{place} = ", value
        above, _, name = path.rpartition(".")
        return _setting(self.sites.access(unit, owner, above), name, value)

    def _inline_below(self, unit: Unit, path: str, seen: set[Unit]) -> list[tuple[str, Unit]]:
        """Returns a unit, and those below it that are written without a class, with their paths."""
        found = [(path, unit)]
        seen.add(unit)
        if self.sites.is_whole(unit) and not any(hook.target != CAST for hook in unit.hooked):
            return found  # its constructor and its own edits cover everything below
        prefix = f"{path}." if path else ""
        for name, child in unit.children.items():
            if child is not None and child not in seen and self.sites.is_inline(child):
                found += self._inline_below(child, prefix + name, seen)
        return found


def _attributes(unit: Unit) -> Iterator[Statement]:
    for name, value in unit.attributes.items():
        if name != "training":
            yield Statement("attribute", name, value)


def _setting(owner: str, name: str, value: ExpressionTree) -> _Assignment:
    """Returns a statement that sets an attribute of any name."""
    if is_name(name):
        return f"{owner}.{name} = ", value
    return "", Call("builtins:setattr", (LocalName(owner), name, value))


def parameter_tree(weight: Weight | None) -> ExpressionTree:
    """Returns the expression of a parameter."""
    if weight is None:
        return None
    kwargs = {} if weight.requires_grad else {"requires_grad": False}
    return Call("torch.nn:Parameter", (_first_value(weight, "empty"),), kwargs)


def _first_value(weight: Weight, function: str) -> ExpressionTree:
    if weight.start is not None:
        return weight.start
    kwargs = {} if weight.dtype == "float32" else {"dtype": Ref(f"torch:{weight.dtype}")}
    size = weight.shape if len(weight.shape) != 0 else ((),)
    return Call(f"torch:{function}", size, kwargs)
