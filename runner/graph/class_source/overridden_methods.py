"""Methods of `nn.Module` that a class overrides, and that other code than its forward calls."""

import re
from typing import Any

from torch import nn

_OTHER = re.compile(
    "__init__|forward|extra_repr|__repr__|_get_name|__dir__|__[gs]etstate__|.*register_.*|"
    "add_module|_maybe_.*|compile|share_memory|_replicate_.*|_slow_forward|[imx]pu|mtia|_load_from_.*"
)
_METHODS = tuple(  # called by other code than a forward, or wrapping it
    name
    for name, member in vars(nn.Module).items()
    if callable(member) and not _OTHER.fullmatch(name)
)
METHODS = frozenset(_METHODS)


def overridden(cls: type) -> tuple[str, ...]:
    """Returns the methods that a class overrides and that other code than its forward calls."""
    own = [c for c in cls.__mro__ if c is not object and not _is_torch(c)]
    return tuple(name for name in _METHODS if any(name in vars(c) for c in own))


def overrides(cls: Any) -> str:
    """Returns a message on a class that overrides methods, or whose other methods are called."""
    found = methods(cls)
    return f"it overrides {found}" if overridden(cls) else f"its {found} are called"


def methods(cls: Any) -> str:
    """Returns the overridden methods of a class as text."""
    return " and ".join(f"{name}()" for name in overridden(cls)) or "methods"


def overrides_call(cls: Any) -> bool:
    """Returns whether a class overrides how its forward is called."""
    return any(name in overridden(cls) for name in ("__call__", "_call_impl"))


def _is_torch(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "torch"
