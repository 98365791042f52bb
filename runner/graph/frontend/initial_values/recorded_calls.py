"""Calls that made tensors, and changed them, as they were recorded, written as those of the IR."""

import operator
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.frontend.literal import Literals
from runner.graph.ir.node import Argument
from runner.graph.ir.unit import Call, Unit, held
from runner.nn.recording.initial_values import Made, Owned
from runner.operators import is_random

UnitPlaces = Mapping[int, tuple[Unit, str]]  # by the id of a module: its unit, and its path inside

_OPERATOR = re.compile(r"\.__(r(?!shift__))?(\w+?)__")  # a method that is an operator
_OLD_NAMES = {"div": "truediv", "and": "and_", "or": "or_", "not": "not_"}
_IN_PLACE = {"iadd": "add_", "isub": "sub_", "imul": "mul_", "itruediv": "div_", "idiv": "div_",
             "ipow": "pow_", "ifloordiv": "floor_divide_", "imod": "remainder_",
             "iand": "bitwise_and_", "ior": "bitwise_or_", "ixor": "bitwise_xor_"}  # fmt: skip
_LARGEST = 1 << 20  # numbers in a tensor that is made again, to see whether it comes out the same


def draws_of(made: Made) -> Iterator[int]:
    """When the random numbers of a value were drawn."""
    if is_random(made.target):
        yield made.order
    for inner in made.inner():
        yield from draws_of(inner)


def gives(made: Made, tensor: Tensor) -> bool:
    """Whether the expression of a buffer, evaluated, still gives what the buffer holds. Memory that
    nothing was written to may hold it by chance."""
    if made.random or tensor.numel() > _LARGEST or "empty" in made.target:
        return False
    try:
        again = _evaluated(made)
    except Exception:  # a call may raise whatever it likes
        return False
    same = isinstance(again, Tensor) and again.shape == tensor.shape and again.dtype == tensor.dtype
    return same and bool(torch.equal(again.to(tensor.device), tensor))


def in_place(target: str) -> str:
    """The method that an operator like `*=` is."""
    name = _IN_PLACE.get(target.strip("._"))
    return f".{name}" if name and target.endswith("__") else target


def call_of(made: Made, literals: Literals, places: UnitPlaces | None = None) -> Call:
    kwargs = {name: argument_of(arg, literals, places) for name, arg in made.kwargs.items()}
    given = {name: arg for name, arg in kwargs.items() if arg is not None}
    args = tuple(argument_of(arg, literals, places) for arg in made.args)
    found = _OPERATOR.fullmatch(made.target)
    name = found and _OLD_NAMES.get(found[2], found[2])
    if found is None or not hasattr(operator, str(name)) or not 1 <= len(args) <= 2:
        return Call(made.target, args, given)
    return Call(f"operator:{name}", args[::-1] if found[1] else args)


def argument_of(value: Any, literals: Literals, places: UnitPlaces | None = None) -> Argument:
    """An argument of a call. `places` is None where no other weights are there yet; an empty one
    is for asking whether it could be written."""
    if isinstance(value, Made):
        return call_of(value, literals, places)
    if isinstance(value, Owned) and places is not None:
        if not places:
            return None
        unit, inside = places.get(id(value.owner), (None, ""))
        if unit is not None:
            return held(unit, f"{inside}{value.name}")
    if isinstance(value, Owned | Tensor | nn.Module):
        raise GraphError("A first value depends on another weight.")
    if type(value) in (tuple, list):
        return type(value)(argument_of(item, literals, places) for item in value)
    if type(value) is slice:
        ends = (value.start, value.stop, value.step)
        return slice(*(argument_of(part, literals, places) for part in ends))
    return literals.of(value)


def _evaluated(value: Any) -> Any:
    if isinstance(value, Made):
        kwargs = {name: _evaluated(arg) for name, arg in value.kwargs.items()}
        return value.function(*(_evaluated(arg) for arg in value.args), **kwargs)
    if isinstance(value, Owned):
        raise GraphError("It depends on another weight.")
    if type(value) in (tuple, list):
        return type(value)(_evaluated(item) for item in value)
    return value
