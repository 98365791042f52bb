"""Checks that a graph is one: what is used is there, and stands where it may stand."""

from collections.abc import Iterator, Mapping
from typing import Any

from runner.errors import GraphError, did_you_mean
from runner.graph.body import Uses, is_name, uses_of
from runner.graph.node import Function
from runner.graph.open import is_open
from runner.graph.signature import is_target, runs_in_order
from runner.graph.unit import Graph, Unit


def lint(graph: Graph, *, decided: bool = False) -> None:
    """Raises GraphError, saying where, when a graph breaks the rules of `node.py` and `unit.py`.

    With `decided`, no choice may be left open.
    """
    below = {unit: path for path, unit in graph.root.walk()}
    for name, function in graph.functions.items():
        where = f"the function {name!r}"
        _check_name(where, name, function)
        _check_uses(graph, None, where, uses_of(function, where, kept=False))
    for unit, path in below.items():
        _check_unit(graph, unit, path, below)
        if decided:
            _check_decided(unit, path)
    for tie in graph.ties:
        for path in tie:
            parent, _, name = path.rpartition(".")
            _check_weight(_at(graph.root, parent, f"A tie of {path!r}"), name, f"A tie of {path!r}")


# Units


def _check_unit(graph: Graph, unit: Unit, path: str, below: Mapping[Unit, str]) -> None:
    where = path or "the model"
    if unit.grade != "basic":
        _check_clashes(unit, where)
    for name in unit.children:
        if not isinstance(name, str) or not name or "." in name:
            raise GraphError(f"{where}: {name!r} cannot be the name of a child.")
    for name, function in unit.functions.items():
        _check_name(where, name, function)
        kept = not unit.owns(name)  # shared with other copies, which nobody may change
        here = f"{where}, {name}"
        _check_uses(graph, unit, here, uses_of(function, here, kept=kept))
    for start in unit.starts:
        if start.unit not in below:
            raise GraphError(f"{where}: a start fills {start.name!r} of a unit of no graph.")
        is_method = start.target[:1] == "." and is_name(start.target[1:])
        if not (is_method or is_target(start.target)):
            raise GraphError(f"{where}: a start calls {start.target!r}, which is no function.")
        _check_weight(start.unit, start.name, f"{where}: a start of {start.name!r}")
    for target, _, _ in unit.edits:
        _at(unit, target, f"{where}: an edit of {target!r}")
    for call in (unit.call, *unit.hooked):
        if call is not None and not is_target(call.target):
            raise GraphError(f"{where}: {call.target!r} cannot be called: it is no target.")


def _check_clashes(unit: Unit, where: str) -> None:
    """No name may stand for two things."""
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


def _check_decided(unit: Unit, path: str) -> None:
    where = path or "the model"
    if unit.grade == "open":
        raise GraphError(f"{where}: the {unit.name} is not decided.")
    for name, function in unit.functions.items():
        for node in uses_of(function, where, kept=not unit.owns(name)).choices:
            raise GraphError(f"{where}, {name}: {node}: a choice is left open.")
    if unit.call is not None and is_open((*unit.call.args, *unit.call.kwargs.values())):
        raise GraphError(f"{where}: the call of the {unit.name} holds a choice left open.")
    if unit.grade == "basic":
        return
    places = {
        "an attribute": [*unit.attributes.values()],
        "a weight": [(w.shape, w.start) for w in _weights(unit)],
        "a start": [(start.args, {**start.kwargs}) for start in unit.starts],
    }
    for place, argument in places.items():
        if argument and is_open(argument):
            raise GraphError(f"{where}: {place} of the {unit.name} holds a choice left open.")


def _weights(unit: Unit) -> Iterator[Any]:
    return (w for w in (*unit.parameters.values(), *unit.buffers.values()) if w is not None)


def _check_name(where: str, name: str, function: Function) -> None:
    if not is_name(name) or name == "__init__":
        raise GraphError(f"{where}: {name!r} cannot be the name of a function.")
    if name != function.name:
        raise GraphError(f"{where}: the function {function.name!r} is kept under {name!r}.")


def _at(unit: Unit, path: str, what: str) -> Unit:
    """The unit at a path, or the one whose inside is not looked at on the way there."""
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
    known = unit.grade != "graph" or name in unit.parameters or name in unit.buffers
    if not known:
        near = did_you_mean(name, [*unit.parameters, *unit.buffers])
        raise GraphError(f"{what}: the {unit.name} has no parameter or buffer {name!r}.{near}")


# What a function uses of its unit and its graph


def _check_uses(graph: Graph, unit: Unit | None, where: str, uses: Uses) -> None:
    for name, node in uses.functions.items():
        if name not in graph.functions:
            near = did_you_mean(name, graph.functions)
            raise GraphError(f"{where}: {node}: the graph has no function {name!r}.{near}")
    for name, node in uses.tensors.items():
        if name not in graph.tensors:
            raise GraphError(f"{where}: {node}: the graph has no tensor {name!r}.")
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
        if name not in unit.attributes and name not in unit.buffers and name not in unit.parameters:
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
    parent, _, name = path.rpartition(".")
    owner = _at(unit, parent, what)
    places = (owner.attributes, owner.parameters, owner.buffers, owner.children)
    if owner.grade != "graph" or name == "training" or any(name in place for place in places):
        return
    near = did_you_mean(name, [known for place in places for known in place])
    raise GraphError(
        f"{what}: the {owner.name} has no parameter, buffer or attribute {name!r}.{near}"
    )
