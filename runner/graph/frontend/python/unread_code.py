"""Attributes that code outside the read methods may change, so that they are no constants: those
that `train()` of a class sets, or the forward of a module that is kept whole; and those that hold
the same object."""

from collections.abc import Collection, Iterator
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

from runner.graph.class_source.bytecode_names import FIELDS, stored_in
from runner.graph.class_source.overridden_methods import overridden
from runner.graph.class_source.scopes import codes, functions_of, is_foreign
from runner.nested import leaves
from runner.nn.recording.construction_record import KEY


def changed_elsewhere(
    model: nn.Module, unread: Collection[type[nn.Module]]
) -> Iterator[tuple[int, str]]:
    """Yields (id of a module, name of its attribute) for attributes, existing or not, that may
    change while no method that was read runs: in methods that override those of `nn.Module`, in
    the forward of `unread` classes, and in all that these call."""
    functions = _reached({type(module) for module in model.modules()}, unread)
    if not functions:
        return
    stored = frozenset[str]().union(*map(stored_in, functions))
    used = frozenset[str]().union(*map(_mentioned_in, functions))
    for module in model.modules():
        for name in stored - FIELDS:
            yield id(module), name
        for name, value in vars(module).items():
            if name in used - FIELDS and _is_changeable(value):
                yield id(module), name


def _reached(
    classes: Collection[type[nn.Module]], unread: Collection[type[nn.Module]]
) -> dict[FunctionType, frozenset[str]]:
    """Returns the functions that may run unread, with the names that each mentions."""
    methods = {cls: _methods(cls) for cls in classes}
    waiting = [
        function
        for cls, named in methods.items()
        for name in (*overridden(cls), *(("forward",) if cls in unread else ()))
        for function in named.get(name, ())
    ]
    found: dict[FunctionType, frozenset[str]] = {}
    while waiting:
        function = waiting.pop()
        if function in found:
            continue
        found[function] = names = _mentioned_in(function)
        waiting += _globals_in(function, names)
        for named in methods.values():
            for name in names & named.keys():
                waiting += named[name] if name != "forward" else ()
    return found


def _methods(cls: Any) -> dict[str, list[FunctionType]]:
    """Returns the functions of a class and its bases by name, but those of torch and
    constructors."""
    found: dict[str, list[FunctionType]] = {}
    for owner in cls.__mro__:
        if is_foreign(owner.__module__):
            for name, member in vars(owner).items():
                if name != "__init__" and (functions := functions_of(member)):
                    found.setdefault(name, []).extend(functions)
    return found


def _mentioned_in(function: FunctionType) -> frozenset[str]:
    """Returns all names in a function, as identifiers or strings."""
    return frozenset(
        name
        for code in codes(function.__code__)
        for name in (*code.co_names, *code.co_consts)
        if isinstance(name, str)
    )


def _globals_in(function: FunctionType, names: frozenset[str]) -> Iterator[FunctionType]:
    """Yields functions of users' modules that a function mentions."""
    space = function.__globals__
    held = [space[name] for name in names if name in space]
    for value in held:
        if isinstance(value, ModuleType) and is_foreign(value.__name__):
            held += [vars(value)[name] for name in names if name in vars(value)]
        elif isinstance(value, FunctionType) and is_foreign(value.__module__):
            yield value


def shared(model: nn.Module) -> dict[tuple[int, str], set[tuple[int, str]]]:
    """Returns for attributes (id of a module, name) the others that hold the same list, dict or
    set, or one inside."""
    holders: dict[int, set[tuple[int, str]]] = {}
    for module in model.modules():
        for name, value in vars(module).items():
            if name not in FIELDS and name != KEY:
                for container in _containers(value, set()):
                    holders.setdefault(container, set()).add((id(module), name))
    found: dict[tuple[int, str], set[tuple[int, str]]] = {}
    for group in holders.values():
        for one in group if len(group) > 1 else ():
            found[one] = found.get(one, set()) | group - {one}
    return found


def _containers(value: Any, seen: set[int]) -> set[int]:
    """Returns the ids of a list, dict or set, and of those inside."""
    if not isinstance(value, list | dict | set | tuple) or id(value) in seen:
        return set()
    seen.add(id(value))
    inner = value.values() if isinstance(value, dict) else value
    found = set[int]().union(*(_containers(part, seen) for part in inner))
    return found if isinstance(value, tuple) else {id(value), *found}


def _is_changeable(value: Any) -> bool:
    """Returns whether a value is a container that code may change in place, not one of modules."""
    if not isinstance(value, list | dict | set):
        return False
    return not any(isinstance(leaf, nn.Module) for leaf in leaves(value))
