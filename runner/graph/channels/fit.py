"""Widths that fit together: the requested ones, what conflicts with them, and the final numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, final

from torch import Tensor

from runner.graph.ir.argument_sizes import Change, Numbers, Place
from runner.graph.ir.width_source import Source

K = TypeVar("K")
Wanted = Mapping[Source, int]  # sources with their new sizes
NodePlace = tuple[str, str, int]  # a call in code: path of the unit, function, index of the node
SHELL = -1  # the index of a call in code without nodes


@final
@dataclass(frozen=True)
class Conflict:
    """A tensor that would need another size for a call to succeed."""

    tensor: Tensor
    dim: int
    change: Change
    what: str  # the call, for error messages


@final
@dataclass(frozen=True)
class Fit:
    """Consistent widths, to be written into a graph."""

    wanted: Wanted
    layers: Mapping[str, Numbers]  # path -> numbers of its constructor
    numbers: Mapping[NodePlace, Numbers]  # of calls in code


@final
class RequestedSizes:
    """The new sizes of some sources, by what holds them."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._held: dict[tuple[str, str, str], dict[Place, int]] = {}
        for source, size in wanted.items():
            held = self._held.setdefault((source.kind, source.path, source.name), {})
            held[source.place] = size

    def layer(self, path: str) -> Numbers:
        """Returns the numbers of the constructor of a layer."""
        return self._held.get(("layer", path, ""), {})

    def tensor(self, path: str, name: str) -> dict[int, int]:
        """Returns the sizes of a tensor of the unit at a path, by dimension."""
        found = self._held.get(("tensor", path, name), {})
        return {int(dim): size for (dim,), size in found.items()}

    def call(self, where: NodePlace) -> Numbers:
        """Returns the numbers of a call in code."""
        path, function, index = where
        found = self._held.get(("number", path, function), {})
        return {place[1:]: size for place, size in found.items() if place[0] == index}

    def fit(self, adapted: Mapping[str, Numbers], repaired: Mapping[NodePlace, Numbers]) -> Fit:
        """Returns the requested sizes together with those that had to follow: of `adapted` layers,
        by path, and in `repaired` calls. A requested size comes first."""
        layers = {path: {**found} for path, found in adapted.items()}
        calls = {where: {**found} for where, found in repaired.items()}
        for source, size in self.wanted.items():
            if source.kind == "layer":
                layers.setdefault(source.path, {})[source.place] = size
            elif source.kind == "number":
                index, *place = source.place
                where = source.path, source.name, int(index)
                calls.setdefault(where, {})[tuple(place)] = size
        return Fit(self.wanted, _without_empty(layers), _without_empty(calls))


def _without_empty(found: Mapping[K, dict[Place, int]]) -> dict[K, Numbers]:
    return {key: numbers for key, numbers in found.items() if numbers}
