"""Subclasses of a user's classes that the user's code does not learn of.

A class of ours that extends one of the user's, be it a stub or one of generated source, would enter
a registry that `__init_subclass__` or a metaclass fills, and later models would be built from it.
"""

import builtins
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType, resolve_bases
from typing import Any
from weakref import WeakSet

_KNOWN = sys.stdlib_module_names | {"torch", "runner", "safetensors"}
_KINDS = {"__init_subclass__": classmethod, "__new__": staticmethod, "__init__": FunctionType}


def unregistered(kind: type, name: str, bases: tuple[type, ...], body: Mapping[str, Any]) -> Any:
    """Returns `kind(name, bases, body)`, without running hooks of the bases."""
    with _without_hooks(bases, kind, _is_foreign):
        return kind(name, bases, dict(body))


@contextmanager
def unregistered_classes(module: ModuleType, is_users: Callable[[str], bool]) -> Iterator[None]:
    """Makes the classes that the code of a module defines unregistered: hooks run only if they are
    the module's own, or if `is_users` is false for the module they come from."""
    build_class: Any = vars(builtins)["__build_class__"]
    own: WeakSet[type] = WeakSet()

    def is_skipped(owner: type) -> bool:
        return owner not in own and _is_foreign(owner) and is_users(owner.__module__)

    def build(function: Any, name: str, /, *bases: Any, **given: Any) -> Any:
        if function.__globals__ is not module.__dict__:  # of a module that this one imports
            return build_class(function, name, *bases, **given)
        with _without_hooks(resolve_bases(bases), given.get("metaclass"), is_skipped):
            cls = build_class(function, name, *bases, **given)
        if isinstance(cls, type):
            own.add(cls)
        return cls

    builtins.__build_class__ = build
    try:
        yield
    finally:
        builtins.__build_class__ = build_class


def _is_foreign(owner: type) -> bool:
    return owner.__module__.partition(".")[0] not in _KNOWN


@contextmanager
def _without_hooks(
    bases: Iterable[Any], metaclass: Any, is_skipped: Callable[[type], bool]
) -> Iterator[None]:
    """Lets the hooks of some owners do nothing but call those of the next class."""
    above = [cls for base in bases if isinstance(base, type) for cls in base.__mro__]
    kinds = [type(cls) for cls in above] + [metaclass] * isinstance(metaclass, type)
    made = [cls for kind in kinds for cls in kind.__mro__]
    with ExitStack() as stack:
        for owners, names in ((above, ("__init_subclass__",)), (made, ("__new__", "__init__"))):
            for owner in dict.fromkeys(owners):
                if is_skipped(owner):
                    _skip(owner, names, stack)
        yield


def _skip(owner: type, names: Collection[str], stack: ExitStack) -> None:
    for name in names:
        hook = vars(owner).get(name)
        if isinstance(hook, _KINDS[name]):
            # not setattr: a metaclass may have a __setattr__ of its own
            type.__setattr__(owner, name, _passing(owner, name, hook))
            stack.callback(type.__setattr__, owner, name, hook)


def _passing(owner: type, name: str, hook: Any) -> Any:
    """Returns a method that only calls the next one, without the keywords that the hook takes."""
    function = getattr(hook, "__func__", hook)
    parameters = inspect.signature(function).parameters.values()
    taken = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}

    def following(cls: Any, *args: Any, **given: Any) -> Any:
        rest = {key: value for key, value in given.items() if key not in taken}
        method = getattr(super(owner, cls), name)
        return method(cls, *args, **rest) if name == "__new__" else method(*args, **rest)

    kind: Any = _KINDS[name]
    return following if kind is FunctionType else kind(following)
