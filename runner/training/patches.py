"""Functions and classes that a trial may have replaced: those of torch, of Python, and ours."""

import builtins
import os
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any, final

import torch

# Modules that a training uses: those whose classes count too, with all modules below, and others.
BELOW = ("torch.nn", "torch.optim")
ALONE = ("builtins", "torch", "torch._tensor", "torch.autograd", "torch.autograd.function",
         "torch.utils.data", "torch.utils.data.dataloader", "torch.amp", "torch.random",
         "torch.linalg", "torch.fft", "torch.special", "torch.functional", "torch._C._nn",
         "torch.utils.checkpoint", "numpy", "numpy.random", "math", "random", "os", "posixpath",
         "sys", "io", "time", "copy", "gc", "json", "json.encoder", "warnings", "logging",
         "threading", "queue", "traceback")  # fmt: skip
SKIPPED = ("torch.nn.quantized", "torch.nn.qat", "torch.nn.intrinsic", "torch.nn.quantizable")
# The namespaces whose functions are looked into, since their code may be exchanged in place.
CODE_OF = ("torch.nn.functional", "torch.nn.init", "torch.nn.modules.module.Module",
           "torch.nn.modules.linear.Linear", "torch.Tensor")  # fmt: skip
CLASSES_OF = ("torch._tensor", "torch.autograd.function", "torch.utils.data.dataloader", *BELOW)
TYPES = (torch.dtype, torch.layout, torch.memory_format, float, str, ModuleType, property,
         staticmethod, classmethod, type(os.environ))  # fmt: skip
CONTAINERS = (dict, list, set, type(None), MappingProxyType)
MUTABLE = 1 << 9, 1 << 8  # flags of a class: Py_TPFLAGS_HEAPTYPE, and not _IMMUTABLETYPE
# Functions that torch wraps itself, once, when it is first used.
WRAPPERS = ("torch.optim.optimizer", "torch._dynamo", "torch._compile")
MISSING = object()


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
class Namespaces:
    """The namespaces that trials share, the code of their functions, and how all of it was."""

    def __init__(self) -> None:
        self._modules = 0  # how many were imported at the last search for namespaces
        self._all: list[Namespace] = []
        self._builtins = {**builtins.__dict__}
        self._functions: list[FunctionType] = []
        self._codes: list[CodeType] = []
        self._defaults: list[tuple[Any, ...] | None] = []
        self._keywords: list[Any] = []

    def keep(self) -> None:
        """Takes what the names mean now for what they are to mean."""
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._all = [*_namespaces()]
            self._keep_functions()
        elif changed := self._changed():
            for one in changed:
                one.keep()
            self._keep_functions()
        elif self._has_new_code():
            self._keep_functions()

    def _changed(self) -> list[Namespace]:
        return [one for one in self._all if not one.is_unchanged()]

    def put_back(self) -> list[str]:
        """Restores what was replaced, and returns its names."""
        found = _put_builtins_back(self._builtins)
        for one in self._changed():
            found += one.put_back()
        if self._has_new_code():
            found += self._put_code_back()
        return found

    def _keep_functions(self) -> None:
        self._functions = [*{id(f): f for one in self._all for f in _functions(one)}.values()]
        self._codes = [f.__code__ for f in self._functions]
        self._defaults = [f.__defaults__ for f in self._functions]
        self._keywords = [f.__kwdefaults__ for f in self._functions]

    def _has_new_code(self) -> bool:
        functions = self._functions
        return [f.__code__ for f in functions] != self._codes or _differ(
            [f.__defaults__ for f in functions], self._defaults
        )

    def _put_code_back(self) -> Iterator[str]:
        for function, code, defaults in zip(
            self._functions, self._codes, self._defaults, strict=True
        ):
            if function.__code__ is not code or function.__defaults__ is not defaults:
                function.__code__, function.__defaults__ = code, defaults
                yield f"{function.__module__}.{function.__qualname__}"


def _put_builtins_back(before: Mapping[str, Any]) -> list[str]:
    """Restores the builtins, without calling any of them; returns what was replaced."""
    names = builtins.__dict__
    changed = [n for n, value in before.items() if n != "_" and names.get(n) is not value]
    if changed:  # only then, since code is optimized for builtins that do not change
        names.update(before)
    return [f"builtins.{name}" for name in changed]


def _differ(now: list[Any], before: list[Any]) -> bool:
    try:
        return now != before
    except Exception:  # a default that refuses to be compared
        return True


def _namespaces() -> Iterator[Namespace]:
    """Yields the modules and their classes, builtins first: the rest is looked at with them."""
    seen: set[int] = set()
    modules = dict.fromkeys((*ALONE, *filter(_is_below, [*sys.modules])))
    for name in modules:
        module = sys.modules.get(name)
        if not isinstance(module, ModuleType):
            continue
        yield Namespace(module, name)
        for value in [*vars(module).values()] if name.startswith(CLASSES_OF) else ():
            if isinstance(value, type) and id(value) not in seen and _may_change(value, name):
                seen.add(id(value))
                yield Namespace(value, f"{value.__module__}.{value.__qualname__}")


def _is_below(name: str) -> bool:
    return name.startswith(BELOW) and not name.startswith(SKIPPED)


def _may_change(found: type, module: str) -> bool:
    heap, immutable = MUTABLE
    here = found.__module__ == module or found is torch.Tensor
    return here and bool(found.__flags__ & heap) and not found.__flags__ & immutable


def _functions(space: Namespace) -> Iterator[FunctionType]:
    """Yields the functions of a namespace whose code could be exchanged in place."""
    if space.name not in CODE_OF:
        return
    for value in space.before.values():
        inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if isinstance(inner, FunctionType):
            yield inner


def _is_wrapped(now: Any, before: Any) -> bool:
    """Returns whether torch itself wrapped a function, which it does when it is first used."""
    where = str(getattr(now, "__globals__", {}).get("__name__"))
    while where.startswith(WRAPPERS) and now is not before and hasattr(now, "__wrapped__"):
        now = now.__wrapped__
    return now is before
