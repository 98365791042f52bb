"""Functionalization: replaces in-place calls by others that compute the same out of place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from runner.errors import GraphError
from runner.graph.ir.signature import locate
from runner.operators import function_facts, is_augmented, is_in_place
from runner.python_operators import AUGMENTED


@final
@dataclass(frozen=True, slots=True)
class FunctionalCall:
    """A functional call, and the tensor that its result replaces."""

    target: str
    args: Sequence[Any]
    kwargs: dict[str, Any]
    changed: Tensor


class NotFunctional(Exception):
    """Raised for a call in place that has no functional form."""


def functionalize_function(
    target: str, args: list[Any], kwargs: dict[str, Any]
) -> FunctionalCall | None:
    """Returns the functional form of a call of "module:qualname", or None if the call is not known
    to be in place. Raises NotFunctional if it is in place and has no such form."""
    module, _, name = target.partition(":")
    if kwargs.get("out") is not None:
        return _without_out(target, args, kwargs)
    changed = args[0] if args else kwargs.get("input")
    if not isinstance(changed, Tensor):
        return None
    if module == "operator":
        if name in ("setitem", "delitem"):
            raise NotFunctional("Item assignment to a tensor has no functional form.")
        if not is_augmented(name):
            return None
        return FunctionalCall(_functional(name), args, kwargs, changed)
    if not module.startswith("torch"):
        return None
    if is_in_place(name):
        return _renamed(target, args, kwargs, changed)
    return _not_inplace(target, args, kwargs, changed)


def functionalize_method(
    name: str, args: list[Any], kwargs: dict[str, Any]
) -> FunctionalCall | None:
    """Returns the functional form of a method of a tensor, args[0]; it may be a function. Raises
    NotFunctional."""
    if name == "__setitem__":
        raise NotFunctional("Item assignment to a tensor has no functional form.")
    if not is_in_place(name):
        return None
    if name in _METHODS:
        return FunctionalCall(_METHODS[name], args, kwargs, args[0])
    if name in _OWN_MEANING or not hasattr(Tensor, name[:-1]):
        raise NotFunctional(f"{name}() has no out-of-place variant.")
    return FunctionalCall(name[:-1], args, kwargs, args[0])


def _functional(name: str) -> str:
    """Returns the target of the operator that an augmented assignment applies."""
    found = AUGMENTED.get(name)
    return f"operator:{found.name if found else name.removeprefix('i')}"


def _without_out(target: str, args: list[Any], kwargs: dict[str, Any]) -> FunctionalCall:
    rest = {name: value for name, value in kwargs.items() if name != "out"}
    if not isinstance(kwargs["out"], Tensor):
        raise NotFunctional("Several tensors are passed as out=.")
    return FunctionalCall(target, args, rest, kwargs["out"])


def _renamed(
    target: str, args: list[Any], kwargs: dict[str, Any], changed: Tensor
) -> FunctionalCall:
    try:
        locate(target[:-1])
    except GraphError:
        raise NotFunctional(f"{target} has no out-of-place variant.") from None
    if target.rpartition(":")[2] in _OWN_MEANING:
        raise NotFunctional(f"{target} has no out-of-place variant.")
    return FunctionalCall(target[:-1], args, kwargs, changed)


def _not_inplace(
    target: str, args: list[Any], kwargs: dict[str, Any], changed: Tensor
) -> FunctionalCall | None:
    """Returns the functional form of a function called with `inplace=True`, or None."""
    for switch in function_facts(target).switches:
        place = switch.position
        if switch.name == "inplace" and place is not None and place < len(args) and args[place]:
            given = [*args[:place], False, *args[place + 1 :]]
            return FunctionalCall(target, given, kwargs, changed)
    if kwargs.get("inplace"):
        return FunctionalCall(target, args, {**kwargs, "inplace": False}, changed)
    return None


_METHODS = {"zero_": "torch:zeros_like", "fill_": "torch:fill"}
_OWN_MEANING = frozenset(["bernoulli_", "requires_grad_", "resize_", "resize_as_", "set_",
                          "share_memory_", "apply_", "map_", "zero_", "fill_"])  # fmt: skip
