"""Stand-ins that need more than a class: for choices of modules, and for values that are called."""

import functools
import inspect
import re
import types
from contextlib import suppress
from types import FunctionType
from typing import Any

import torch
from torch import nn

from runner.graph.frontend.torchscript.stubs import Typed, function, hidden, stub, typed_parameters
from runner.nn.expression import Expression


def is_choice(cls: type[nn.Module]) -> bool:
    """Whether modules of a class are choices of modules."""
    return getattr(cls, "kind", "") in ("LayerChoice", "Repeat", "InputChoice", "Cell")


def open_stub(module: nn.Module) -> type[nn.Module]:
    """A stub of a choice of modules, which itself takes anything: as its first candidate."""
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
    return hidden(cls, like=type(first))


def _forwards_of_cell(cell: nn.Module) -> list[FunctionType]:
    """The two ways to call a cell: with a list, and with its inputs one by one."""
    count = cell.facts()["num_predecessors"]  # type: ignore[operator]
    apart: list[Typed] = [
        (f"input{i}", torch.Tensor, inspect.Parameter.empty) for i in range(count)
    ]
    whole: list[Typed] = [("inputs", list[torch.Tensor], inspect.Parameter.empty)]
    result = _result_of_cell(cell)
    return [function(whole, result), function(apart, result)]


def _result_of_cell(cell: nn.Module) -> Any:
    """The type that a Cell gives: what its postprocessor says, else a Tensor."""
    post: Any = getattr(cell, "postprocessor", None)
    if post is None:
        return torch.Tensor
    return typed_parameters(post.forward if isinstance(post, nn.Module) else post)[1]


def _first_candidate(module: nn.Module) -> nn.Module:
    """The candidate whose forward says what a choice takes."""
    first = next(iter(module.children()), None)
    while first is not None and is_choice(type(first)) and getattr(first, "kind", "") != "Cell":
        first = next(iter(first.children()), None)
    return nn.Identity() if first is None else first


def called_values(module: nn.Module) -> list[str]:
    """Attributes of a module that hold a value, and that its class calls: `self.width()`."""
    kinds = (int, float, str, tuple, list, dict, Expression)
    own = vars(module)
    cls: Any = type(module)
    return [name for name in sorted(_called(cls)) if isinstance(own.get(name), kinds)]


@functools.cache
def _called(cls: type) -> frozenset[str]:
    """Names that are called without arguments in the source of a class."""
    found: set[str] = set()
    for owner in cls.__mro__:
        if not owner.__module__.startswith(("torch.", "builtins")):
            with suppress(OSError, TypeError):
                found |= {*re.findall(r"\b\w+\.(\w+)\(\)", inspect.getsource(owner))}
    return frozenset(found)


def stand_in(name: str, value: Any) -> nn.Module:
    """A module in place of a plain value that is called: its forward gives such a value."""
    body = {"forward": function([], _type_of(value)), "stands_for": name}
    made: nn.Module = type("Value", (nn.Module,), body)()
    return made


def _type_of(value: Any) -> Any:
    """The type of a plain value, as an annotation; that of its base for a callable likeness."""
    if isinstance(value, tuple):
        return types.GenericAlias(tuple, tuple(map(_type_of, value)))
    if isinstance(value, list):
        return types.GenericAlias(list, _type_of(value[0]) if value else int)
    if isinstance(value, dict):
        return types.GenericAlias(dict, (str, _type_of(next(iter(value.values()), 0))))
    return bool if isinstance(value, bool) else type(value).__mro__[-2]
