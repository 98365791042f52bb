"""Checks whether a call that fills a tensor is possible: the tensor may be gone, or reshaped."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch

from runner.graph.interpreter.modules import Builder, Live
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
    return start.unit.grade == "open" or start.unit.weights.get(start.name) is not None


def _fits(start: Start) -> bool:
    """Returns whether the tensor of a layer, built on the meta device, takes the call."""
    builder = Builder(Graph(start.unit), _never, torch.device("meta"))
    try:
        with torch.device("meta"), torch.no_grad():
            tensor: Any = builder.basic(start.unit, "")
            tensor = reduce(getattr, start.name.split("."), tensor)
            for step in start.part:
                args, kwargs = builder.constant(step.args), builder.constant({**step.kwargs})
                tensor = builder.called(step.target, (tensor, *args), kwargs)
            inner = leaves_and_calls((start.args, {**start.kwargs}))
            if tensor is not None and not any(type(part) in (Unit, Stored) for part in inner):
                args, kwargs = builder.constant(start.args), builder.constant({**start.kwargs})
                if start.target != SET:
                    builder.called(start.target, (tensor, *args), kwargs)
    except Exception:  # constructors and functions of torch raise anything
        return False
    return tensor is not None


def _never(module: Live, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Does nothing: no method runs while a layer is constructed."""
