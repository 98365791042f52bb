"""Checks whether a call that fills a tensor is possible: the tensor may be gone, or reshaped."""

import torch

from runner.graph.interpreter.modules import meta_builder
from runner.graph.ir.argument import leaves_and_calls
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import SET, Start, Stored, Unit


def is_possible(start: Start, unit: Unit) -> bool:
    """Returns whether the tensors that a start of a unit fills and reads exist. A layer that was
    changed may have no bias any more, or another number of outputs."""
    below = {inner for _, inner in unit.walk()}
    if not below.issuperset(start.units):
        return False
    if start.unit.grade == "basic":
        return not start.unit.changed or _fits(start)
    return start.unit.grade == "symbolic" or start.unit.weights.get(start.name) is not None


def _fits(start: Start) -> bool:
    """Returns whether the tensor of a layer, built on the meta device, takes the call."""
    builder = meta_builder(Graph(start.unit))
    inner = leaves_and_calls((start.args, {**start.kwargs}))
    is_known = not any(type(part) in (Unit, Stored) for part in inner)
    try:
        with torch.device("meta"), torch.no_grad():
            layer = builder.basic(start.unit, "")
            tensor = builder.filled(start, layer)
            if tensor is not None and is_known and start.target == SET:
                builder.constant(start.args)
            elif tensor is not None and is_known:
                builder.fill(start, layer)
    except Exception:  # constructors and functions of torch raise anything
        return False
    return tensor is not None
