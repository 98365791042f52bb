"""Functions and classes that a trial may have replaced: those of torch, of Python, and ours.

A container that is edited in place, such as a table of a library, is not noticed.
"""

import builtins
import os
import sys
from collections.abc import Iterator, Mapping, Sequence, ValuesView
from itertools import chain
from operator import attrgetter
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, final

import torch

# Modules that a training uses: those whose classes count too, with all modules below, and others.
OURS = "runner"
BELOW = (OURS, "torch.nn", "torch.optim")
ALONE = ("builtins", "torch", "torch._tensor", "torch.autograd", "torch.autograd.function",
         "torch.utils.data", "torch.utils.data.dataloader", "torch.amp", "torch.random",
         "torch.linalg", "torch.fft", "torch.special", "torch.functional", "torch._C._nn",
         "torch.utils.checkpoint", "torch.utils.data.sampler", "torch.utils.data.dataset",
         "torch.utils.data._utils.collate", "torch.utils.data._utils.fetch", "numpy",
         "numpy.random", "numpy.linalg", "safetensors", "safetensors.torch", "math", "random",
         "operator", "functools", "itertools", "collections", "hashlib", "pickle", "struct", "os",
         "posixpath", "sys", "io", "time", "copy", "gc", "json", "json.encoder", "warnings",
         "logging", "threading", "queue", "traceback")  # fmt: skip
# Of ours, what reads and writes programs is as much as the rest, and would take as long.
SKIPPED = (f"{OURS}.graph", "torch.nn.quantized", "torch.nn.qat", "torch.nn.intrinsic",
           "torch.nn.quantizable")  # fmt: skip
CLASSES_OF = ("torch._tensor", "torch.autograd.function", "torch.utils.data", "random",
              "collections", "functools", "numpy", "safetensors", *BELOW)  # fmt: skip
TYPES = (torch.dtype, torch.layout, torch.memory_format, float, str, ModuleType, property,
         staticmethod, classmethod, type(os.environ))  # fmt: skip
CONTAINERS = (dict, list, set, type(None), MappingProxyType)
MUTABLE = 1 << 9, 1 << 8  # flags of a class: Py_TPFLAGS_HEAPTYPE, and not _IMMUTABLETYPE
# Functions that torch wraps itself, once, when it is first used.
WRAPPERS = ("torch.optim.optimizer", "torch._dynamo", "torch._compile")
MISSING = object()
PARTS = ("__code__", "__defaults__", "__kwdefaults__")  # of a function, which may be exchanged


@final
class Namespace:
    """The names of a module or a class, and what they meant."""

    def __init__(self, holder: Any, name: str) -> None:
        self.holder = holder
        self.name = name
        self.names: Mapping[str, Any] = holder.__dict__
        self._is_class = isinstance(holder, type)
        self.before = dict(self.names)
        self._owned = self._is_class or holder is builtins  # an added name hides another
        self._is_ours = _is_in(name, (OURS,))  # without any state

    def keep(self) -> None:
        self.before = dict(self.names)

    def is_unchanged(self) -> bool:
        """Returns whether each name means the same object; cheap, because C compares."""
        try:
            return self.names == self.before
        except Exception:  # a new value that refuses to be compared
            return False

    def put_back(self) -> Iterator[str]:
        """Restores what was replaced, and yields its names."""
        for name, value in self.before.items():
            now = self.names.get(name, MISSING)
            if now is not value and self._counts(value) and not _is_wrapped(now, value):
                self._set(name, value)
                yield f"{self.name}.{name}"
        for name in self.names.keys() - self.before.keys():
            hides = self._owned or name in builtins.__dict__
            value = self.names[name]
            if _is_wrapped(value, self._inherited(name)):
                continue
            if hides and isinstance(value, FunctionType | type | property):
                self._delete(name)
                yield f"{self.name}.{name}"
        self.keep()

    def _inherited(self, name: str) -> Any:
        """Returns what a name of a class would mean without an own one."""
        bases = self.holder.__mro__[1:] if self._is_class else ()
        return next((base.__dict__[name] for base in bases if name in base.__dict__), MISSING)

    def _counts(self, value: Any) -> bool:
        """Returns whether nobody may replace a value; what else is in a module is its state."""
        if self._is_ours:
            return True
        if self._is_class:
            return not isinstance(value, CONTAINERS)
        return callable(value) or isinstance(value, TYPES)

    def _set(self, name: str, value: Any) -> None:
        if self._is_class:
            type.__setattr__(self.holder, name, value)
        else:
            self.holder.__dict__[name] = value

    def _delete(self, name: str) -> None:
        if self._is_class:
            type.__delattr__(self.holder, name)
        else:
            del self.holder.__dict__[name]


@final
class FunctionParts:
    """The code and the defaults of functions, which may be exchanged in place."""

    def __init__(self, functions: Sequence[FunctionType]) -> None:
        # Where all calls give an argument, its default means nothing.
        with_defaults = [f for f in functions if f.__defaults__]
        with_keywords = [f for f in functions if f.__kwdefaults__]
        self._read = (
            (functions, attrgetter("__code__")),
            (with_defaults, attrgetter("__defaults__")),
            (with_keywords, attrgetter("__kwdefaults__")),
        )
        codes, defaults, keywords = self._now()
        self._before = [codes, defaults, [{**found} for found in keywords]]  # edited in place

    def _now(self) -> list[list[Any]]:
        return [[*map(read, functions)] for functions, read in self._read]

    def is_unchanged(self) -> bool:
        try:
            return self._now() == self._before
        except Exception:  # a default that refuses to be compared
            return False

    def put_back(self) -> Iterator[str]:
        """Restores what was exchanged, and yields the functions' names."""
        for (functions, _), name, before in zip(self._read, PARTS, self._before, strict=True):
            for function, part in zip(functions, before, strict=True):
                if not _is_same_part(getattr(function, name), part):
                    setattr(function, name, {**part} if isinstance(part, dict) else part)
                    yield f"{function.__module__}.{function.__qualname__}"


@final
class Namespaces:
    """The namespaces that trials share, their functions, and how all of it was."""

    def __init__(self) -> None:
        self._modules = 0  # how many were imported at the last search for namespaces
        self._all: list[Namespace] = []
        self._builtins = {**builtins.__dict__}
        self._views: list[ValuesView[Any]] = []  # of all namespaces
        self._values: list[Any] = []  # what the views held, in one list for speed
        self._parts = FunctionParts(())

    def keep(self) -> None:
        """Takes what the names mean now for what they are to mean."""
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._all = [*_namespaces()]
            self._keep_values()
            self._keep_functions()
        elif not self._is_unchanged():
            for one in self._changed():
                one.keep()
            self._keep_values()
            self._keep_functions()
        elif not self._parts.is_unchanged():
            self._keep_functions()

    def _keep_values(self) -> None:
        self._views = [one.names.values() for one in self._all]
        self._values = [*chain.from_iterable(self._views)]

    def _keep_functions(self) -> None:
        found = {id(f): f for one in self._all for f in _functions(one)}
        self._parts = FunctionParts([*found.values()])

    def _is_unchanged(self) -> bool:
        """Returns whether all values are as before: three times faster than `_changed`."""
        try:
            return [*chain.from_iterable(self._views)] == self._values
        except Exception:  # a new value that refuses to be compared
            return False

    def _changed(self) -> list[Namespace]:
        return [one for one in self._all if not one.is_unchanged()]

    def put_back(self) -> list[str]:
        """Restores what was replaced, and returns its names."""
        found = _put_builtins_back(self._builtins)
        if not self._is_unchanged():
            for one in self._changed():
                found += one.put_back()
            self._keep_values()
        if not self._parts.is_unchanged():
            found += dict.fromkeys(self._parts.put_back())
        return found


def _is_same_part(now: Any, before: Any) -> bool:
    if isinstance(before, dict) and isinstance(now, dict):
        return now.keys() == before.keys() and all(now[name] is before[name] for name in before)
    return now is before


def _put_builtins_back(before: Mapping[str, Any]) -> list[str]:
    """Restores the builtins, without calling any of them; returns what was replaced."""
    names = builtins.__dict__
    changed = [n for n, value in before.items() if n != "_" and names.get(n) is not value]
    if changed:  # only then, since code is optimized for builtins that do not change
        names.update(before)
    return [f"builtins.{name}" for name in changed]


def _namespaces() -> Iterator[Namespace]:
    """Yields the modules and their classes, builtins first: the rest is looked at with them."""
    seen: set[int] = set()
    modules = dict.fromkeys((*ALONE, *filter(_is_below, [*sys.modules])))
    for name in modules:
        module = sys.modules.get(name)
        if not isinstance(module, ModuleType):
            continue
        yield Namespace(module, name)
        for value in [*vars(module).values()] if _is_in(name, CLASSES_OF) else ():
            if isinstance(value, type) and id(value) not in seen and _may_change(value, name):
                seen.add(id(value))
                yield Namespace(value, f"{value.__module__}.{value.__qualname__}")


def _is_below(name: str) -> bool:
    return _is_in(name, BELOW) and not _is_in(name, SKIPPED)


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    """Returns whether a name is that of a package, or of something in it."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _may_change(found: type, module: str) -> bool:
    heap, immutable = MUTABLE
    here = found.__module__ == module or found is torch.Tensor
    return here and bool(found.__flags__ & heap) and not found.__flags__ & immutable


def _functions(space: Namespace) -> Iterator[FunctionType]:
    """Yields the functions of a namespace, whose code and defaults could be exchanged in place;
    also those within others, such as in a property or below a decorator."""
    for value in space.before.values():
        inner = [value]
        if isinstance(value, staticmethod | classmethod):
            inner = [value.__func__]
        elif isinstance(value, property):
            inner = [value.fget, value.fset, value.fdel]
        for one in inner:
            while isinstance(one, FunctionType):
                yield one
                one = one.__dict__.get("__wrapped__")


def _is_wrapped(now: Any, before: Any) -> bool:
    """Returns whether torch itself wrapped a function, which it does when it is first used."""
    where = str(getattr(now, "__globals__", {}).get("__name__"))
    while where.startswith(WRAPPERS) and now is not before and hasattr(now, "__wrapped__"):
        now = now.__wrapped__
    return now is before
