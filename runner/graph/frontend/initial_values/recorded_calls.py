"""Recorded calls that made or changed tensors, as calls of the IR."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.frontend.literals.literal import Literals
from runner.graph.ir.node import Argument
from runner.graph.ir.unit import Call, Unit, held
from runner.nested import rebuild
from runner.nn.recording.initial_values import Owned, RecordedCall
from runner.operators import IN_PLACE_METHODS, is_random
from runner.python_operators import REFLECTED, function_of

UnitPlaces = Mapping[int, tuple[Unit, str]]  # by id of module: unit, path inside

_LARGEST = 1 << 20  # elements of a tensor that is computed again for comparison


def draws_of(made: RecordedCall) -> Iterator[int]:
    """Yields when the random numbers of a value were drawn."""
    if is_random(made.target):
        yield made.order
    for inner in made.inner():
        yield from draws_of(inner)


def evaluates_to(made: RecordedCall, tensor: Tensor) -> bool:
    """Returns whether the expression of a buffer still evaluates to its current value.
    Uninitialized memory may be equal by chance."""
    if made.random or tensor.numel() > _LARGEST or "empty" in made.target:
        return False
    try:
        value = _evaluated(made)
    except Exception:  # a call may raise whatever it likes
        return False
    same = isinstance(value, Tensor) and value.shape == tensor.shape and value.dtype == tensor.dtype
    return same and bool(torch.equal(value.to(tensor.device), tensor))


def in_place(target: str) -> str:
    """Returns the method for an augmented assignment such as `*=`."""
    name = IN_PLACE_METHODS.get(target.strip("._").replace("idiv", "itruediv"))
    return f".{name}" if name and target.endswith("__") else target


def call_of(made: RecordedCall, literals: Literals, places: UnitPlaces | None = None) -> Call:
    """Returns the call of the IR for a recorded one; `places` as for `argument_of`."""
    args, kwargs = argument_of((made.args, {**made.kwargs}), literals, places)
    given = {name: arg for name, arg in kwargs.items() if arg is not None}
    method = made.target.removeprefix(".")
    name = function_of(method)
    if not name or not 1 <= len(args) <= 2:
        return Call(made.target, args, given)
    return Call(f"operator:{name}", args[::-1] if method in REFLECTED else args)


def argument_of(value: Any, literals: Literals, places: UnitPlaces | None = None) -> Argument:
    """Returns the argument of the IR for a recorded one, nested containers included.

    `places` is None if it must not depend on other weights, and empty to find out whether it could
    be written at all. Raises GraphError if it cannot.
    """

    def written(leaf: Any) -> Argument:
        if isinstance(leaf, RecordedCall):
            return call_of(leaf, literals, places)
        if isinstance(leaf, Owned) and places is not None:
            if not places:
                return None
            unit, inside = places.get(id(leaf.owner), (None, ""))
            if unit is not None:
                return held(unit, f"{inside}{leaf.name}")
        if isinstance(leaf, Owned | Tensor | nn.Module):
            raise GraphError("An initial value depends on another weight.")
        return literals.of(leaf)

    return rebuild(value, written)


def _evaluated(leaf: Any) -> Any:
    """Returns the value of a recorded call; anything else as it is."""
    if isinstance(leaf, Owned):
        raise GraphError("An initial value depends on another weight.")
    if not isinstance(leaf, RecordedCall):
        return leaf
    args, kwargs = rebuild((leaf.args, {**leaf.kwargs}), _evaluated)
    return leaf.function(*args, **kwargs)
