"""Shape propagation: finds the shape of every value by running the graph on meta tensors."""

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

EXAMPLES = 5  # batch size; unlikely to equal the number of parts that a tensor is split into


@final
@dataclass
class Shapes:
    """The specs of the values of each unit's functions, by the path of the unit."""

    specs: dict[str, dict[Value, Spec]] = field(default_factory=dict)
    result: Any = None  # of the model, with specs for tensors
    stopped: str = ""  # where execution depends on data rather than shapes; empty: nowhere


def propagate(graph: Graph, *inputs: Any, **kwargs: Any) -> Shapes:
    """Sets `Value.spec` by running a graph in eval mode on the meta device, without computation.

    Inputs are tensors or `Spec`s, nested as the model takes them. Values with several shapes in one
    run (in a function that several units share) get no spec; `Shapes.specs` has them by unit.
    Propagation stops where execution depends on data, and reports that in `stopped`.
    Raises GraphError for an invalid node, with its location, its shapes and the reason.
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
    """Raises Mismatch for tied parameters of different shapes."""
    for path, owner in graph.ties:
        one, other = (model.get_parameter(name).shape for name in (path, owner))
        if one != other:
            raise Mismatch(
                f"{path} and {owner} are one tensor, but would have shapes {[*one]} and {[*other]}."
            )


@final
class _ShapeListener(MetaInterpreter):
    """An interpreter that records the specs of all values."""

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
