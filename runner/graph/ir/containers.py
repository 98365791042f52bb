"""Containers of torch.nn that are made of units: the units are their children."""

from collections.abc import Sequence
from typing import Any

from runner.graph.ir.argument import Argument, Made

_MODULES = ("torch.nn", "torch.nn.modules.container")


def contained(target: str, args: Sequence[Argument]) -> dict[str, Any] | None:
    """The children that a constructor call gives to a container; None for any other call."""
    module, _, name = target.partition(":")
    if module not in _MODULES:
        return None
    given = args[0] if len(args) == 1 else None
    if name in ("Sequential", "ModuleDict") and isinstance(given, dict):
        named = given
    elif name == "ModuleList" and isinstance(given, tuple | list):
        named = _numbered(given)
    elif name == "Sequential":
        named = _numbered(args)
    else:
        return None
    return named if all(isinstance(unit, Made) for unit in named.values()) else None


def _numbered(units: Sequence[Argument]) -> dict[str, Argument]:
    return {str(place): unit for place, unit in enumerate(units)}
