"""Stubs that are specific to an object: of choices of modules, and of values that are called."""

import inspect
import types
from types import FunctionType
from typing import Any

import torch
from torch import nn

from runner.graph.frontend.reading.opaque import is_choice
from runner.graph.frontend.torchscript.stubs import (
    Stubs,
    Typed,
    function,
    stub,
    typed_parameters,
)


def symbolic_stub(module: nn.Module, stubs: Stubs) -> type[nn.Module]:
    """Returns a stub of a choice of modules with the signature of its first candidate."""
    cls = type(module)
    kind = getattr(cls, "kind", "")
    first = module if kind == "Cell" else _first_candidate(module)
    if getattr(type(first), "kind", "") == "Cell":
        return stub(cls, _forwards_of_cell(first), hide=True)
    if kind == "InputChoice":
        inputs: list[Typed] = [("inputs", list[torch.Tensor], inspect.Parameter.empty)]
        listed = module.facts().get("reduction") == "none"  # type: ignore[operator]
        result = list[torch.Tensor] if listed else torch.Tensor
        return stub(cls, [function(inputs, result)], hide=True)
    return stubs.hidden(cls, like=type(first))


def _forwards_of_cell(cell: nn.Module) -> list[FunctionType]:
    """Returns the two signatures of a cell: with a list, and with its inputs one by one."""
    count = cell.facts()["num_predecessors"]  # type: ignore[operator]
    apart: list[Typed] = [
        (f"input{i}", torch.Tensor, inspect.Parameter.empty) for i in range(count)
    ]
    whole: list[Typed] = [("inputs", list[torch.Tensor], inspect.Parameter.empty)]
    result = _result_of_cell(cell)
    return [function(whole, result), function(apart, result)]


def _result_of_cell(cell: nn.Module) -> Any:
    """Returns the return type of a Cell: that of its postprocessor, else Tensor."""
    post: Any = getattr(cell, "postprocessor", None)
    if post is None:
        return torch.Tensor
    return typed_parameters(post.forward if isinstance(post, nn.Module) else post)[1]


def _first_candidate(module: nn.Module) -> nn.Module:
    """Returns the candidate whose forward has the signature of a choice."""
    first = next(iter(module.children()), None)
    while first is not None and is_choice(type(first)) and getattr(first, "kind", "") != "Cell":
        first = next(iter(first.children()), None)
    return nn.Identity() if first is None else first


def stand_in(name: str, value: Any) -> nn.Module:
    """Returns a module that replaces a value that is called: its forward returns such a value."""
    body = {"forward": function([], _type_of(value)), "replaced_attribute": name}
    made: nn.Module = type("Value", (nn.Module,), body)()
    return made


def _type_of(value: Any) -> Any:
    """Returns the annotation for a plain value; for a callable likeness of one, that of its
    base."""
    if isinstance(value, tuple):
        return types.GenericAlias(tuple, tuple(map(_type_of, value)))
    if isinstance(value, list):
        return types.GenericAlias(list, _type_of(value[0]) if value else int)
    if isinstance(value, dict):
        return types.GenericAlias(dict, (str, _type_of(next(iter(value.values()), 0))))
    return bool if isinstance(value, bool) else type(value).__mro__[-2]
