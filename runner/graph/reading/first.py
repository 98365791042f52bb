"""First values of weights, as expressions and calls of the IR: from what was recorded of them."""

import operator
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.node import Argument
from runner.graph.reading.literal import Literals
from runner.graph.unit import Call, Start, Unit
from runner.nn.record import Record
from runner.nn.start import Made, Owned

_OPERATOR = re.compile(r"\.__(r(?!shift__))?(\w+?)__")  # a method that is an operator
_OLD_NAMES = {"div": "truediv", "and": "and_", "or": "or_", "not": "not_"}
_LARGEST = 1 << 20  # numbers in a tensor that is made again, to see whether it comes out the same


def first_value(record: Record | None, name: str, literals: Literals) -> Call | None:
    """The expression that made a parameter or buffer; None where it is not known."""
    made = record.origins.get(name) if record is not None else None
    if not isinstance(made, Made):
        return None
    try:
        return _call(made, literals)
    except GraphError:
        return None


def gives(record: Record | None, name: str, tensor: Tensor) -> bool:
    """Whether the expression of a buffer, evaluated, still gives what the buffer holds."""
    made = record.origins.get(name) if record is not None else None
    if not isinstance(made, Made) or made.random or tensor.numel() > _LARGEST:
        return False
    try:
        again = _evaluated(made)
    except Exception:  # a call may raise whatever it likes
        return False
    same = isinstance(again, Tensor) and again.shape == tensor.shape and again.dtype == tensor.dtype
    return same and bool(torch.equal(again.to(tensor.device), tensor))


Places = Mapping[int, tuple[Unit, str]]  # by the id of a module: its unit, and its path inside


def starts(record: Record | None, places: Places, literals: Literals) -> Iterator[Start]:
    """The calls of a constructor that fill weights of units, without those that change nothing."""
    for fill in record.fills if record is not None else ():
        unit, inside = places.get(id(fill.owner), (None, ""))
        if unit is None or not fill.repeatable or fill.overwritten:
            continue
        try:
            args = tuple(_argument(arg, literals) for arg in fill.args)
            kwargs = {name: _argument(arg, literals) for name, arg in fill.kwargs.items()}
        except GraphError:
            continue
        yield Start(unit, f"{inside}{fill.name}", fill.target, args, kwargs)


def _call(made: Made, literals: Literals) -> Call:
    kwargs = {name: _argument(arg, literals) for name, arg in made.kwargs.items()}
    given = {name: arg for name, arg in kwargs.items() if arg is not None}
    args = tuple(_argument(arg, literals) for arg in made.args)
    found = _OPERATOR.fullmatch(made.target)
    name = found and _OLD_NAMES.get(found[2], found[2])
    if found is None or not hasattr(operator, str(name)) or not 1 <= len(args) <= 2:
        return Call(made.target, args, given)
    return Call(f"operator:{name}", args[::-1] if found[1] else args)


def _argument(value: Any, literals: Literals) -> Argument:
    if isinstance(value, Made):
        return _call(value, literals)
    if isinstance(value, Owned | Tensor | nn.Module):
        raise GraphError("A first value depends on another weight.")
    if type(value) in (tuple, list):
        return type(value)(_argument(item, literals) for item in value)
    if type(value) is slice:
        return slice(*(_argument(part, literals) for part in (value.start, value.stop, value.step)))
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
