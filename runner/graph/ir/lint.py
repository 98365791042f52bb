"""Verifies the invariants of a graph: every reference resolves, and everything is well-formed."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch

from runner.errors import GraphError, did_you_mean
from runner.graph.ir.argument import PLAIN, leaves_and_calls
from runner.graph.ir.constants import no_constant
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint_function import Uses, is_name, uses_of
from runner.graph.ir.node import Argument
from runner.graph.ir.signature import is_target, locate, runs_in_order
from runner.graph.ir.symbolic import check_resolved
from runner.graph.ir.unit import RESERVED, Call, Ref, Stored, Unit, joined
from runner.nn.values.expression import Expression


def lint(graph: Graph, *, decided: bool = False) -> None:
    """Raises GraphError, with the location, if a graph violates the rules of `node.py` and
    `unit.py`.

    With `decided`, symbolic choices are errors, too.
    """
    targets = _Targets()
    tree = _UnitPaths(graph, targets)
    for name, function in graph.functions.items():
        where = f"the function {name!r}"
        _check_name(where, name, function)
        _check_uses(graph, None, where, uses_of(function, where, kept=False), targets)
    for unit, path in tree.paths.items():
        _check_unit(graph, unit, path, targets)
        if decided:
            check_resolved(unit, path)
            _check_functions_decided(unit, path)
    for tie in graph.ties:
        for path in tie:
            parent, _, name = path.rpartition(".")
            _check_weight(_at(graph.root, parent, f"A tie of {path!r}"), name, f"A tie of {path!r}")


@final
class _Targets:
    """The objects that a graph refers to by "module:qualname", each looked up once."""

    def __init__(self) -> None:
        self._callable: dict[str, bool] = {}  # whether each object is callable

    def check_callable(self, target: str, where: str) -> None:
        """Raises GraphError, with the location, unless the object exists and is callable."""
        if target not in self._callable:
            self._look_up(target, where)
        if not self._callable[target]:
            raise GraphError(f"{where}: {target!r} cannot be called.")

    def check_there(self, target: str, where: str) -> None:
        """Raises GraphError, with the location, unless the object exists."""
        if target not in self._callable:
            self._look_up(target, where)

    def _look_up(self, target: str, where: str) -> None:
        try:
            self._callable[target] = callable(locate(target))
        except GraphError as error:
            raise GraphError(f"{where}: {error}") from error


# Units


@final
class _UnitPaths:
    """All units with their paths, including those among constructor arguments."""

    def __init__(self, graph: Graph, targets: _Targets) -> None:
        self.graph = graph
        self.targets = targets
        self.paths: dict[Unit, str] = {}
        self._above: set[Unit] = set()
        self._visit(graph.root, "")

    def _visit(self, unit: Unit, path: str) -> None:
        where = path or "the model"
        if unit in self._above:
            raise GraphError(f"{where}: the {unit.name} contains itself.")
        if unit in self.paths:
            return
        self.paths[unit] = path
        self._above.add(unit)
        for name, child in unit.children.items():
            if child is not None:
                if not isinstance(child, Unit):
                    raise GraphError(f"{where}: the child {name!r} is {child!r}, not a Unit.")
                self._visit(child, joined(path, name))
        for what, argument in unit.arguments():
            for thing in _not_plain(argument):
                self._check(thing, what, f"{where}: {what} of the {unit.name}", path)
        self._above.remove(unit)

    def _check(self, thing: Argument, what: str, where: str, path: str) -> None:
        """Checks one leaf of an argument of a unit."""
        if isinstance(thing, Unit):
            if what != "a start":  # which refers to units below
                self._visit(thing, path)
        elif isinstance(thing, Ref):
            self.targets.check_there(thing.target, where)
        elif isinstance(thing, Stored):
            if thing.name not in self.graph.tensors:
                raise GraphError(f"{where}: the graph has no tensor {thing.name!r}.")
        elif isinstance(thing, Call):
            if thing.target[:1] != ".":
                self.targets.check_callable(thing.target, where)
        elif not isinstance(thing, Expression):
            raise GraphError(f"{where}: {no_constant(thing)}.")


def _not_plain(argument: Argument) -> Sequence[Argument]:
    """Returns the leaves of an argument that are not plain constants such as numbers and
    strings."""
    if type(argument) is tuple and all(type(item) in _NUMBERS for item in argument):
        return ()  # most are so
    return [thing for thing in leaves_and_calls(argument) if type(thing) not in _NUMBERS]


_NUMBERS = PLAIN - {Ref, Stored}
_DTYPES = frozenset(name for name, thing in vars(torch).items() if isinstance(thing, torch.dtype))


def _check_unit(graph: Graph, unit: Unit, path: str, targets: _Targets) -> None:
    where = path or "the model"
    for name in unit.children:
        if not isinstance(name, str) or not name or "." in name or name in RESERVED:
            raise GraphError(f"{where}: {name!r} cannot be the name of a child.")
    if unit.grade != "basic":
        _check_clashes(unit, where)
    for name, function in unit.functions.items():
        _check_name(where, name, function)
        kept = not unit.owns(name)  # shared with other copies, hence immutable
        here = f"{where}, {name}"
        _check_uses(graph, unit, here, uses_of(function, here, kept=kept), targets)
    for weight in unit.weights.values():
        if weight is not None and weight.dtype not in _DTYPES:
            raise GraphError(f"{where}: {weight.dtype!r} is not a dtype.")
    _check_starts(unit, where, targets)
    for edit in unit.edits:
        place = unit.path_to(edit.unit, edit.path)
        _at(unit, place, f"{where}: an edit of {place!r}")
    for call in (unit.call, *unit.hooked):
        if call is not None and not is_target(call.target):
            raise GraphError(f"{where}: {call.target!r} cannot be called: it is not a target.")
    if unit.call is not None and unit.grade in ("basic", "shell"):
        targets.check_callable(unit.call.target, where)
    if unit.inherits:
        targets.check_callable(unit.cls.target, where)


def _check_starts(unit: Unit, where: str, targets: _Targets) -> None:
    if not unit.starts:
        return
    below = {inner for _, inner in unit.walk()}
    for start in unit.starts:
        if not start.units <= below:
            raise GraphError(
                f"{where}: an initializer targets {start.name!r} of a unit outside the graph, or "
                "not below this one; Graph.replace drops the initializers of replaced units."
            )
        is_method = start.target[:1] == "." and is_name(start.target[1:])
        if not (is_method or is_target(start.target)):
            raise GraphError(f"{where}: an initializer calls {start.target!r}, not a function.")
        if not is_method:
            targets.check_callable(start.target, f"{where}: the initializer of {start.name!r}")
        _check_weight(start.unit, start.name, f"{where}: the initializer of {start.name!r}")


def _check_clashes(unit: Unit, where: str) -> None:
    """Checks that no name refers to two things."""
    kinds: dict[str, Mapping[str, Any]] = {
        "a child": unit.children,
        "a parameter": unit.parameters,
        "a buffer": unit.buffers,
        "an attribute": unit.attributes,
        "a function": unit.functions,
    }
    seen: dict[str, str] = {}
    for kind, names in kinds.items():
        for name in names:
            if name in seen:
                raise GraphError(f"{where}: {name!r} is both {seen[name]} and {kind}.")
            seen[name] = kind


def _check_functions_decided(unit: Unit, path: str) -> None:
    for name, function in unit.functions.items():
        where = f"{path or 'the model'}, {name}"
        for node in uses_of(function, where, kept=not unit.owns(name)).choices:
            raise GraphError(f"{where}: {node}: a choice is still symbolic.")


def _check_name(where: str, name: str, function: Function) -> None:
    if not is_name(name) or name == "__init__":
        raise GraphError(f"{where}: {name!r} cannot be the name of a function.")
    if name != function.name:
        raise GraphError(f"{where}: the function {function.name!r} is kept under {name!r}.")


def _at(unit: Unit, path: str, what: str) -> Unit:
    """Returns the unit at a path, or the innermost unit on it whose contents are unknown."""
    for name in path.split(".") if path else ():
        if unit.grade != "graph" and name not in unit.children:
            return unit
        child = unit.children.get(name)
        if child is None:
            near = did_you_mean(name, unit.children)
            raise GraphError(f"{what}: there is no unit {path!r}.{near}")
        unit = child
    return unit


def _check_weight(unit: Unit, name: str, what: str) -> None:
    if unit.grade == "graph" and name not in unit.weights:
        near = did_you_mean(name, unit.weights)
        raise GraphError(f"{what}: the {unit.name} has no parameter or buffer {name!r}.{near}")


# References of a function to its unit and its graph


def _check_uses(graph: Graph, unit: Unit | None, where: str, uses: Uses, targets: _Targets) -> None:
    for name, node in uses.functions.items():
        if name not in graph.functions:
            near = did_you_mean(name, graph.functions)
            raise GraphError(f"{where}: {node}: the graph has no function {name!r}.{near}")
    for name, node in uses.tensors.items():
        if name not in graph.tensors:
            raise GraphError(f"{where}: {node}: the graph has no tensor {name!r}.")
    for target, node in uses.calls.items():
        targets.check_callable(target, f"{where}: {node}")
    for target, node in uses.names.items():
        targets.check_there(target, f"{where}: {node}")
    if unit is None:
        for used in (uses.modules, uses.gets, uses.sets):
            for node in used.values():
                raise GraphError(f"{where}: {node}: a function outside of units has no `self`.")
        return
    for target, node in uses.modules.items():
        _check_called(unit, target, f"{where}: {node}")
    for path, node in uses.gets.items():
        _check_read(unit, path, f"{where}: {node}")
    for name, node in uses.sets.items():
        if name not in {**unit.attributes, **unit.weights}:
            raise GraphError(f"{where}: {node}: the {unit.name} has no attribute {name!r}.")


def _check_called(unit: Unit, target: str, what: str) -> None:
    path, _, method = target.partition(":")
    called = _at(unit, path, what)
    method = method or "forward"
    if called.grade != "graph" or method in called.functions:
        return
    if method != "forward" or not runs_in_order(called.cls):
        near = did_you_mean(method, called.functions)
        raise GraphError(f"{what}: the {called.name} has no function {method!r}.{near}")


def _check_read(unit: Unit, path: str, what: str) -> None:
    if not path:
        return  # the unit itself
    parent, _, name = path.rpartition(".")
    owner = _at(unit, parent, what)
    known = {**owner.attributes, **owner.weights, **owner.children}
    if owner.grade != "graph" or name == "training" or name in known:
        return
    near = did_you_mean(name, known)
    raise GraphError(
        f"{what}: the {owner.name} has no parameter, buffer, attribute or unit {name!r}.{near}"
    )
