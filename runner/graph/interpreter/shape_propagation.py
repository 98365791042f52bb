"""What shape every value of a graph has: the graph run on tensors that have nothing but a shape."""

from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from runner import nested
from runner.graph.interpreter.interpreter import Frame
from runner.graph.interpreter.meta_interpreter import (
    MetaInterpreter,
    Mismatch,
    Stopped,
    on_meta,
    spec_of,
)
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Spec, Value

EXAMPLES = 5  # in the batch that is tried: more than anything is taken apart into by chance


@final
@dataclass
class Shapes:
    """What is known: by the path of a unit, the specs of the values of its functions."""

    specs: dict[str, dict[Value, Spec]] = field(default_factory=dict)
    result: Any = None  # what the model gives, with specs for tensors
    stopped: str = ""  # where values, not shapes, decide how it goes on; empty: nowhere


def propagate(graph: Graph, *inputs: Any, **kwargs: Any) -> Shapes:
    """Fill `Value.spec` by running a graph, in eval mode, on the meta device; nothing is computed.

    Inputs are tensors or `Spec`s, nested as the model takes them. Values that one run gives several
    shapes (in a function that several units share) get no spec; `Shapes.specs` has them by unit.
    Where the data decides, it stops, and says so in `stopped`.
    Raises GraphError for a node that does not fit, with its place, its shapes and the reason.
    """
    shapes = Shapes()
    with torch.no_grad(), torch.device("meta"):
        interpreter = _ShapeListener(graph, shapes)
        _check_ties(graph, interpreter.model)
        try:
            result = interpreter(*on_meta(inputs), **on_meta(kwargs))
        except Stopped as stopped:
            shapes.stopped = str(stopped)
        else:
            shapes.result = nested.rebuild(result, _described, subclasses=True)
    return shapes


def _check_ties(graph: Graph, model: nn.Module) -> None:
    """Raises Mismatch for parameters that are one, and have two shapes."""
    for path, owner in graph.ties:
        one, other = (model.get_parameter(name).shape for name in (path, owner))
        if one != other:
            raise Mismatch(
                f"{path} and {owner} are one tensor, and would be {[*one]} and {[*other]}."
            )


@final
class _ShapeListener(MetaInterpreter):
    """Keeps the specs of all values."""

    def __init__(self, graph: Graph, shapes: Shapes) -> None:
        self._shapes = shapes
        self._seen: dict[Value, Spec | None] = {}
        super().__init__(graph)

    def store(self, value: Value, thing: Any, frame: Frame) -> None:
        frame.values[value] = thing
        if isinstance(thing, Tensor):
            spec = spec_of(thing.shape, thing.dtype)
            self._shapes.specs.setdefault(frame.path, {})[value] = spec
            known = self._seen.setdefault(value, spec)
            value.spec = self._seen[value] = spec if known == spec else None


def _described(leaf: Any) -> Any:
    return spec_of(leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf
