"""What a forward that could not be read may use of the modules below it, beside calling them."""

import dis
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from runner.nn.recording.record import KEY

_READS = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_OF_ALL = frozenset(
    {*dir(nn.Module), "__annotations__", "__constants__", "__jit_unused_properties__"}
)


@functools.lru_cache(maxsize=4096)
def used_names(cls: Any, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """Names that the methods of a class, `without` some, use of anything but `self`, as attributes
    or as text (`getattr(layer, "width")`), and of classes of modules (`isinstance(layer, Skip)`).
    """
    seen: set[Any] = set()
    return frozenset(
        name
        for owner in _own_classes(cls)
        for method, member in vars(owner).items()
        if method not in without
        for function in _functions(member)
        for name in _names(function, seen)
    )


def names_of(function: Any) -> frozenset[str]:
    """Names that a method uses of anything, `self` too."""
    seen: set[Any] = set()
    return frozenset(n for part in _functions(function) for n in _names(part, seen, own=True))


@functools.cache
def stored_names(cls: type) -> frozenset[str]:
    """Names of attributes that the methods of a class set, or delete, after it was constructed."""
    return frozenset(
        step.argval
        for owner in _own_classes(cls)
        for name, member in vars(owner).items()
        if name != "__init__"
        for function in _functions(member)
        for code in _codes(function.__code__)
        for step in dis.get_instructions(code)
        if step.opname in ("STORE_ATTR", "DELETE_ATTR")
    )


@functools.cache
def uses(cls: type) -> frozenset[str]:
    """Names that the methods of a class use of anything, `self` too."""
    owners = [c for c in _own_classes(cls) if issubclass(c, nn.Module)]
    return frozenset(n for c in owners for member in vars(c).values() for n in names_of(member))


def used_by(module: nn.Module, methods: Iterable[str]) -> Iterator[str]:
    """Names that methods of a module use of anything, `self` too."""
    for name in methods:
        yield from names_of(getattr(module, name, None))


def uses_class(names: frozenset[str], cls: type[nn.Module]) -> bool:
    """Whether modules of a class have methods or properties of these names, or can be asked for
    a length, items and the like, which only the class itself gives; or are asked for the class."""
    if any(owner.__name__ in names for owner in _own_classes(cls)):
        return True
    return any(
        name in names or (name.startswith("__") and callable(member) and name not in _OF_ALL)
        for owner in _own_classes(cls)
        for name, member in vars(owner).items()
        if name not in ("forward", "__init__") and name not in _FIELDS
    )


def used_attributes(names: frozenset[str], module: nn.Module) -> list[str]:
    """The plain attributes of a module among these names."""
    return [name for name in vars(module) if name in names and name not in _FIELDS and name != KEY]


_FIELDS = frozenset(vars(nn.Module()))


def _own_classes(cls: type) -> Iterator[type]:
    """A class and those it inherits from, without torch's own."""
    return (c for c in cls.__mro__ if c is not object and not c.__module__.startswith("torch.nn."))


def _functions(member: Any) -> Iterator[FunctionType]:
    """The functions that a member of a class consists of."""
    if isinstance(member, property):
        parts: list[Any] = [member.fget, member.fset]
    else:
        parts = [getattr(member, "__func__", member)]
    for part in parts:
        if isinstance(found := inspect.unwrap(part) if callable(part) else None, FunctionType):
            yield found


def _names(function: FunctionType, seen: set[Any], *, own: bool = False) -> Iterator[str]:
    """Names in a function, and in those of the same module that it calls; `own` for those that it
    uses of `self`, too."""
    if function in seen or function.__name__ == "__init__":
        return
    seen.add(function)
    for code in _codes(function.__code__):
        before = None
        for step in dis.get_instructions(code):
            name, opname = step.argval, step.opname
            if isinstance(name, str):
                if opname == "LOAD_CONST" or (opname in _READS and (own or not _is_self(before))):
                    yield name
                for other in _named(step, before, function):
                    if isinstance(other, FunctionType) and not _is_torch(other.__module__):
                        yield from _names(other, seen, own=own)
                    elif isinstance(other, type) and issubclass(other, nn.Module):
                        yield other.__name__
            before = step


def _named(
    step: dis.Instruction, before: dis.Instruction | None, function: FunctionType
) -> Iterator[Any]:
    """What an instruction reads of the module of a function, or of one that it has imported; all
    of a tuple, such as isinstance may be given."""
    found: Any = None
    if step.opname == "LOAD_GLOBAL":
        found = function.__globals__.get(step.argval)
    elif step.opname in _READS and before is not None and before.opname == "LOAD_GLOBAL":
        above = function.__globals__.get(before.argval)
        if isinstance(above, ModuleType) and not _is_torch(above.__name__):
            found = vars(above).get(step.argval)
    yield from found if isinstance(found, tuple) else (found,)


def _is_torch(module: str | None) -> bool:
    """Whether a module is torch's, or of the standard library, and knows no class of the user's."""
    top = (module or "").partition(".")[0]
    return top == "torch" or top in sys.stdlib_module_names


def _is_self(step: dis.Instruction | None) -> bool:
    """Whether an instruction loads the module itself."""
    return step is not None and step.opname == "LOAD_FAST" and step.argval == "self"


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function and of those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
