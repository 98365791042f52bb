"""Counts the channels of tensors at places where modules are inserted."""

from collections.abc import Sequence
from typing import Literal, final

from runner.errors import GraphError
from runner.graph.interpreter.shape_propagation import EXAMPLES, propagate
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Spec, Value
from runner.graph.ir.unit import Unit
from runner.graph.transforms.call_sites import is_in_order, parent_of, sites, write_forward

Side = Literal["output", "input"]
_PLANES = ("Conv", "BatchNorm", "InstanceNorm", "GroupNorm", "MaxPool", "AvgPool")
_TOKENS = ("Linear", "LayerNorm", "RMSNorm", "Embedding", "MultiheadAttention")


CallIndex = tuple[str, int]  # the path of a unit, and the index of its call in program order


def specs_at(graph: Graph, paths: Sequence[str]) -> dict[CallIndex, dict[Side, Spec | None]]:
    """Returns the specs of input and output of units at some paths, for all their calls; None if it
    is not a single tensor, or unknown. Raises GraphError without an example, and if shapes do not
    match."""
    if graph.example is None:
        raise GraphError("the channels are unknown without an example; set space.input.")
    twin = graph.copy()
    for path in paths:
        parent, _, _ = parent_of(twin, path)
        if is_in_order(parent):
            write_forward(parent)
    calls = {path: sites(twin, twin.unit(path)) for path in paths}
    shapes = propagate(twin, Spec((EXAMPLES, *graph.example)))
    found: dict[CallIndex, dict[Side, Spec | None]] = {}
    for path, places in calls.items():
        for number, site in enumerate(places):
            known = shapes.specs.get(site.path, {})
            given, (value, *more) = site.given, (*site.node.outputs, None)
            found[path, number] = {
                "input": known.get(given) if isinstance(given, Value) else None,
                "output": known.get(value) if value is not None and len(more) < 2 else None,
            }
    return found


@final
class Spots:
    """The numbers of channels at the inputs or outputs of units at some paths.

    Shapes are inferred once, when the first is needed. The channel dimension is the second one, (N,
    C, ...), if the unit contains convolutions or batch normalizations, and the last one, (N, ...,
    C), if it contains only layers such as Linear and LayerNorm. Otherwise it is the second of four
    or five dimensions and the last of two or three. Of three dimensions it is the second one only
    for one-dimensional convolutions and the like.
    """

    def __init__(self, paths: Sequence[str], where: Side) -> None:
        self._paths = [*paths]
        self._where = where
        self._found: dict[CallIndex, Spec | None] | None = None

    def channels(self, graph: Graph, path: str, number: int = 0) -> int:
        """Returns the number of channels at one of the calls of a unit. Raises GraphError if the
        shape is unknown."""
        if self._found is None:
            specs = specs_at(graph, self._paths)
            self._found = {spot: both[self._where] for spot, both in specs.items()}
        spec = self._found.get((path, number))
        if spec is None:  # a call in a branch that is not taken: like the others
            others = {known for (at, _), known in self._found.items() if at == path and known}
            spec = others.pop() if len(others) == 1 else None
        if spec is None or len(spec.shape) < 2:
            shown = "unknown" if spec is None else f"{spec}"
            raise GraphError(f"the shape at the {self._where} of {path} is {shown}.")
        return spec.shape[_dimension(graph.unit(path), len(spec.shape))]


def _dimension(unit: Unit, count: int) -> int:
    """Returns the channel dimension of a tensor with `count` dimensions at a unit."""
    names = {inner.name for _, inner in unit.walk()}
    if count == 2:
        return 1
    if count == 3:
        return 1 if any(_is_plane(name) and "1d" in name for name in names) else 2
    has_planes = any(map(_is_plane, names))
    return count - 1 if any(map(_is_of_tokens, names)) and not has_planes else 1


def _is_plane(name: str) -> bool:
    return any(kind in name for kind in _PLANES) or name.endswith("2d")


def _is_of_tokens(name: str) -> bool:
    return any(kind in name for kind in _TOKENS)
