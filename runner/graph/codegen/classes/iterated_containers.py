"""Containers that loops may iterate over: those whose children a function calls one by one."""

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from runner.graph.codegen.classes.unit_forms import Sites, located
from runner.graph.ir.containers import ChildSteps, IteratedContainer, mentions
from runner.graph.ir.function import Function
from runner.graph.ir.unit import Unit

_ITERATES = {
    "ModuleList": nn.ModuleList.__iter__,
    "Sequential": nn.Sequential.__iter__,
    "ModuleDict": nn.ModuleDict.values,
    "ParameterList": nn.ParameterList.__iter__,
}


def iterated_containers(
    sites: Sites, unit: Unit, function: Function, *, shared: bool
) -> tuple[IteratedContainer, ...]:
    """Returns the containers below a unit whose children a function of it calls or reads: all, each
    in order. What a function that is shared mentions is memoized."""
    found = function.analyses.get("mentions") if shared else None
    if found is None:
        found = mentions(function)
    if shared:
        function.analyses["mentions"] = found
    return tuple(_containers(sites, unit, found)) if found else ()


def _containers(
    sites: Sites, unit: Unit, found: Mapping[str, Mapping[str, Sequence[str]]]
) -> Iterator[IteratedContainer]:
    for path, children in found.items():
        container = unit.find(path)
        names = (*children,)
        if container is None or not _is_iterable(sites, container, names):
            continue
        inner = dict.fromkeys(path for inside in children.values() for path in _prefixes(inside))
        steps = {path: _steps(sites, container, path) for path in inner}
        known = tuple((path, found) for path, found in steps.items() if found is not None)
        yield IteratedContainer(path, sites.container(container) == "ModuleDict", names, known)


def _is_iterable(sites: Sites, container: Unit, names: tuple[str, ...]) -> bool:
    """Returns whether iteration over a container gives the children of these names."""
    kind = sites.container(container)
    if kind not in _ITERATES or not (
        sites.is_whole(container) or sites.is_built_of_contents(container)
    ):
        return False
    method = "values" if kind == "ModuleDict" else "__iter__"
    if getattr(located(container.cls.target), method, None) is not _ITERATES[kind]:
        return False
    if kind == "ParameterList":
        return names == (*container.parameters,) == tuple(map(str, range(len(names))))
    units = [*container.children.values()]
    return names == (*container.children,) and None not in units and len({*units}) == len(units)


def _prefixes(paths: Sequence[str]) -> Iterator[str]:
    """Yields paths, and the paths that lead there."""
    for path in paths:
        names = path.split(".") if path else []
        for depth in range(1, len(names) + 1):
            yield ".".join(names[:depth])


def _steps(sites: Sites, container: Unit, path: str) -> ChildSteps | None:
    """Returns the steps along a path inside each child of a container; None where they differ."""
    children = [child for child in container.children.values() if child is not None]
    found = {sites.steps(child, path) for child in children}
    return found.pop() if len(found) == 1 else None
