"""Names that the code of classes uses, read from bytecode: names that uncompiled code may
use of modules below, besides calling them."""

import dis
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from runner.graph.class_source.scopes import codes, functions_of, is_foreign
from runner.nn.recording.construction_record import KEY

_READS = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_CHANGES = frozenset([dis.opmap["STORE_ATTR"], dis.opmap["DELETE_ATTR"]])
_SETTERS = frozenset({"setattr", "delattr", "__setattr__", "__delattr__", "__dict__"})
_CALLS_OF_NOTHING = [bytes([op, 0]) for name, op in dis.opmap.items() if name.startswith("CALL")]
_OF_ALL = frozenset(
    {*dir(nn.Module), "__annotations__", "__constants__", "__jit_unused_properties__"}
)


def used_names(cls: Any, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """Returns names that the methods of a class, `without` some, use of anything but `self`:
    attributes, strings (`getattr(layer, "width")`), and classes of modules (`isinstance(layer,
    Skip)`)."""
    seen: set[Any] = set()
    return frozenset(
        name
        for owner in _own_classes(cls)
        for method, member in vars(owner).items()
        if method not in without
        for function in functions_of(member)
        for name in _names(function, seen)
    )


def names_of(function: Any) -> frozenset[str]:
    """Returns names that a method uses of any object, `self` included."""
    seen: set[Any] = set()
    return frozenset(n for part in functions_of(function) for n in _names(part, seen, own=True))


def stored_names(cls: type) -> frozenset[str]:
    """Returns names of attributes that methods of a class, except its constructor, set or
    delete."""
    return frozenset(
        stored
        for owner in _own_classes(cls)
        for name, member in vars(owner).items()
        if name != "__init__"
        for function in functions_of(member)
        for stored in stored_in(function)
    )


def stored_in(function: FunctionType) -> frozenset[str]:
    """Returns names of attributes that a function sets or deletes; with a call of `setattr` in
    it, all its strings."""
    found: set[str] = set()
    for code in codes(function.__code__):
        if not _CHANGES.isdisjoint(code.co_code[::2]):  # most code has none: it is not decoded
            found |= {s.argval for s in dis.get_instructions(code) if s.opcode in _CHANGES}
        if not _SETTERS.isdisjoint(code.co_names):
            found |= {value for value in code.co_consts if isinstance(value, str)}
    return frozenset(found)


def called_names(cls: type) -> frozenset[str]:
    """Returns names of attributes that the methods of a class call without arguments:
    `self.width()`."""
    return frozenset(
        name
        for owner in _own_classes(cls)
        for member in vars(owner).values()
        for function in functions_of(member)
        for code in codes(function.__code__)
        for name in _called_in(code)
    )


def _called_in(code: CodeType) -> Iterator[str]:
    body = code.co_code
    if not any(call in body for call in _CALLS_OF_NOTHING):
        return  # most code has none, and need not be decoded
    steps = [step for step in dis.get_instructions(code) if step.opname != "PRECALL"]
    for owner, read, call in zip(steps, steps[1:], steps[2:], strict=False):
        is_call = call.opname.startswith("CALL") and call.arg == 0
        if is_call and read.opname in _READS and owner.opname.startswith("LOAD_"):
            yield read.argval


def uses(cls: type) -> frozenset[str]:
    """Returns names that the methods of a class use of any object, `self` included."""
    owners = [c for c in _own_classes(cls) if issubclass(c, nn.Module)]
    return frozenset(n for c in owners for member in vars(c).values() for n in names_of(member))


def used_by(module: nn.Module, methods: Iterable[str]) -> Iterator[str]:
    """Yields names that methods of a module use of any object, `self` included."""
    for name in methods:
        yield from names_of(getattr(module, name, None))


def uses_class(names: frozenset[str], cls: type[nn.Module]) -> bool:
    """Returns whether names refer to methods or properties of a class, or to the class itself; or
    whether it has special methods such as `__len__`, which any code may use."""
    if any(owner.__name__ in names for owner in _own_classes(cls)):
        return True
    return any(
        name in names or (name.startswith("__") and callable(member) and name not in _OF_ALL)
        for owner in _own_classes(cls)
        for name, member in vars(owner).items()
        if name not in ("forward", "__init__") and name not in FIELDS
    )


def used_attributes(names: frozenset[str], module: nn.Module) -> list[str]:
    """Returns the plain attributes of a module among these names."""
    return [name for name in vars(module) if name in names and name not in FIELDS and name != KEY]


FIELDS = frozenset(vars(nn.Module()))  # attributes of every module


def _own_classes(cls: type) -> Iterator[type]:
    """Yields a class and its bases, without those of torch."""
    return (c for c in cls.__mro__ if c is not object and not c.__module__.startswith("torch.nn."))


def _names(function: FunctionType, seen: set[Any], *, own: bool = False) -> Iterator[str]:
    """Yields names in a function and in functions of user modules that it calls; with `own`,
    also those that it uses of `self`."""
    if function in seen or function.__name__ == "__init__":
        return
    seen.add(function)
    for code in codes(function.__code__):
        before = None
        for step in dis.get_instructions(code):
            name, opname = step.argval, step.opname
            if isinstance(name, str):
                if opname == "LOAD_CONST" or (opname in _READS and (own or not _is_self(before))):
                    yield name
                for other in _named(step, before, function):
                    if isinstance(other, FunctionType) and is_foreign(other.__module__):
                        yield from _names(other, seen, own=own)
                    elif isinstance(other, type) and issubclass(other, nn.Module):
                        yield other.__name__
            before = step


def _named(
    step: dis.Instruction, before: dis.Instruction | None, function: FunctionType
) -> Iterator[Any]:
    """Yields the global, or the attribute of an imported module, that an instruction reads; for
    a tuple, as passed to `isinstance`, its items."""
    found: Any = None
    if step.opname == "LOAD_GLOBAL":
        found = function.__globals__.get(step.argval)
    elif step.opname in _READS and before is not None and before.opname == "LOAD_GLOBAL":
        above = function.__globals__.get(before.argval)
        if isinstance(above, ModuleType) and is_foreign(above.__name__):
            found = vars(above).get(step.argval)
    yield from found if isinstance(found, tuple) else (found,)


def _is_self(step: dis.Instruction | None) -> bool:
    """Returns whether an instruction loads `self`."""
    return step is not None and step.opname == "LOAD_FAST" and step.argval == "self"
