"""References to classes and functions by the names under which source imports them."""

import inspect
import sys
import types
from collections.abc import Mapping
from typing import Any

from runner.errors import GraphError


def parameters_of(thing: Any) -> Mapping[str, inspect.Parameter]:
    """Returns the parameters of a callable by name; none if it has no signature."""
    try:
        return inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return {}


_HOMES = ("torch.nn", "torch.nn.functional", "torch", "builtins", "math")  # preferred


def reference(thing: Any) -> str:
    """Returns "module:qualname" of a class or function. Raises GraphError if it cannot be
    imported."""
    name = getattr(thing, "__name__", "")
    for home in _HOMES:
        if vars(sys.modules.get(home, types)).get(name, _Nothing) is thing:
            return f"{home}:{name}"
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", name)
    if module and _found(public := module.lstrip("_"), qualname) is thing:  # not of _functools
        module = public
    if (member := _member(thing)) is not None:
        return member
    if module and _found(module, qualname) is not thing:
        members = vars(sys.modules.get(module, types))
        qualname = next((alias for alias, found in members.items() if found is thing), qualname)
    if not module or _found(module, qualname) is not thing:
        what = f"{module}.{qualname}" if module and qualname else f"{thing!r:.80}"
        raise GraphError(
            f"{what} cannot be written as source, since it cannot be imported. Define it at the "
            "top level of a file."
        )
    return f"{module}:{qualname}"


def _member(thing: Any) -> str | None:
    """Returns the target of a function that is a method of an object of its module, such as
    `random.randrange` and `numpy.random.randint`; None for any other."""
    owner = getattr(thing, "__self__", None)
    name = getattr(thing, "__name__", "")
    if owner is None or isinstance(owner, type | types.ModuleType):
        return None
    home = type(owner).__module__
    for place in (home, home.rpartition(".")[0]):
        if vars(sys.modules.get(place, types)).get(name, _Nothing) == thing:
            return f"{place}:{name}"
    return None


class _Nothing:
    """The default of look-ups that fail."""


def _found(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module, _Nothing)
    for part in qualname.split("."):
        found = getattr(found, part, _Nothing)
    return found
