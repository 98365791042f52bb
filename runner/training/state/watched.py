"""The modules that trials share, and whose they are."""

import builtins
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any
from weakref import ref

import torch

OURS = "runner"
TRAINING = ("torch.nn", "torch.optim", "torch.autograd", "torch.utils.data",
            "torch.utils.checkpoint")  # fmt: skip
# Of ours and of torch's, what trains no model is as much as the rest, and would take as long.
SKIPPED = (f"{OURS}.graph", "torch.nn.quantized", "torch.nn.qat", "torch.nn.intrinsic",
           "torch.nn.quantizable", "torch.ao")  # fmt: skip
SYSTEM = f"{OURS}.training"  # names modules that no training does
# Of whose public modules any may be used, named or not.
FAMILIES = ("torch", "numpy", "json", "safetensors")
INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
STARTED = ("__main__", "__mp_main__")  # what a user runs in the process may change its own names
STANDARD = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
MISSING = object()
FIXED = (torch.dtype, torch.layout, torch.memory_format, float, str, ModuleType, property,
         staticmethod, classmethod)  # fmt: skip
CODE = (FunctionType, BuiltinFunctionType, type, property, staticmethod, classmethod)
PLAIN = (int, float, complex, str, bytes, tuple, *CODE)
# Functions that torch wraps itself, once, when it is first used.
WRAPPERS = ("torch.optim.optimizer", "torch._dynamo", "torch._compile")


class ModuleOwner(Enum):
    """Whose a module is, which says what of it may change."""

    OURS = "ours"  # which has no state
    USER = "user"  # where an object may fill what was empty, as caches do
    LIBRARY = "library"  # whose state is its own affair

    def allows(self, before: object, now: object) -> bool:
        """Returns whether a trial may leave one value in place of another; MISSING for none."""
        if now is before or is_wrapped(now, before):
            return True
        if self is ModuleOwner.USER:
            was_empty = before is MISSING or before is None
            return was_empty and not (now is None or now is MISSING or is_a(now, PLAIN))
        if before is MISSING:
            return not is_a(now, CODE)
        is_fixed = is_a(before, FIXED) or (callable(before) and not is_a(before, ref))
        return self is ModuleOwner.LIBRARY and not is_fixed


def watched() -> dict[str, ModuleOwner]:
    """Returns the imported modules that trials share: those of users, ours, and torch's for
    training; then those that they name.

    Builtins come first, since the rest is looked at with their help.
    """
    modules = [name for name, one in [*sys.modules.items()] if is_a(one, ModuleType)]
    training = {name: owner for name in modules if (owner := owner_of(name)) is not None}
    naming = [name for name in training if not is_in(name, (SYSTEM, *SKIPPED))]
    named = [name for one in naming for name in _modules_in(one) if not _is_private(name)]
    below = [name for one in FAMILIES if one in sys.modules for name in _modules_in(one)]
    public = [name for name in below if not _is_private(name)]
    found = dict.fromkeys((builtins.__name__, *named, *public), ModuleOwner.LIBRARY) | training
    return {name: owner for name, owner in found.items() if not is_in(name, SKIPPED)}


def with_classes(names: Iterable[str]) -> set[str]:
    """Returns those of the watched modules whose classes count too: those of training, and those
    that users name, but for the largest."""
    users = [name for name in names if owner_of(name) is ModuleOwner.USER]
    named = {name for user in users for name in _modules_in(user)} - {*FAMILIES}
    return named | {name for name in names if owner_of(name) is not None}


def owner_of(name: str) -> ModuleOwner | None:
    """Returns the owner of a module that belongs to training by itself; None for another one."""
    if is_in(name, (OURS,)):
        return ModuleOwner.OURS
    if is_in(name, TRAINING):
        return ModuleOwner.LIBRARY
    return ModuleOwner.USER if _is_of_user(name) else None


def _is_of_user(name: str) -> bool:
    """Returns whether a module is neither Python's nor installed."""
    file = vars(sys.modules.get(name, sys)).get("__file__")
    if not isinstance(file, str) or name in STARTED or file.startswith(STANDARD):
        return False
    if not file.startswith(os.sep):  # of no file, such as torch.ops
        return False
    return not any(folder in file for folder in INSTALLED)


def _modules_in(holder: str) -> Iterator[str]:
    """Yields the names of the modules that a module names."""
    for value in [*vars(sys.modules[holder]).values()]:
        name = vars(value).get("__name__") if is_a(value, ModuleType) else None
        if isinstance(name, str) and sys.modules.get(name) is value:
            yield name


def _is_private(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("."))


def is_a(value: object, kinds: type | tuple[type, ...]) -> bool:
    """Returns whether a value is of a class, without a look at an attribute of it, which may be
    lazy."""
    return issubclass(type(value), kinds)


def is_in(name: str, packages: tuple[str, ...]) -> bool:
    """Returns whether a name is that of a package, or of something in it."""
    return name.startswith(packages) and any(  # most do not, which one call tells
        name == package or name.startswith(f"{package}.") for package in packages
    )


def is_wrapped(now: Any, before: Any) -> bool:
    """Returns whether torch itself wrapped a function, which it does when it is first used."""
    where = str(getattr(now, "__globals__", {}).get("__name__"))
    while where.startswith(WRAPPERS) and now is not before and hasattr(now, "__wrapped__"):
        now = now.__wrapped__
    return now is before
