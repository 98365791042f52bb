"""Imports objects by name, and resolves the arguments of calls by their signatures."""

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import torch
from torch import nn

from runner.errors import GraphError, did_you_mean, one_line
from runner.graph.ir.argument import Argument, Call, Ref

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_PLAIN = (type(None), bool, int, float, complex, str, type(...))
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def is_target(text: str) -> bool:
    """Returns whether a string has the form "module:qualname"."""
    return _TARGET.fullmatch(text) is not None


def locate(target: str) -> Any:
    """Returns the object "module:qualname". Raises GraphError if it does not exist.

    The module is imported by name, not accessed through attributes of its parents: a function may
    have the name of the module it is in (torchvision.models.googlenet).
    """
    if not is_target(target):
        raise GraphError(f"{target!r} cannot be imported: write 'module:qualname'.")
    name, _, qualname = target.partition(":")
    found: Any = sys.modules.get(name) or _import(name, target)
    owner = name
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = did_you_mean(part, dir(found))
            text = f"{target!r} cannot be imported: {owner!r} has no attribute {part!r}.{near}"
            raise GraphError(text) from None
        except Exception as error:  # a module-level __getattr__ may raise anything
            text = f"{target!r} cannot be imported: {one_line(error)}."
            raise GraphError(text) from error
        owner = f"{owner}.{part}"
    return found


def public_target(thing: Any) -> str:
    """Returns the target of a class or function, by its public name in torch if it has one."""
    name: str = thing.__name__
    for home, module in (("torch", torch), ("torch.nn", nn)):
        if getattr(module, name, None) is thing:
            return f"{home}:{name}"
    return f"{thing.__module__}:{thing.__qualname__}"


def _import(name: str, target: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise GraphError(f"{target!r} cannot be imported: {error}.") from error
    except Exception as error:  # importing executes a module, which may raise anything
        raise GraphError(f"{target!r} cannot be imported: {one_line(error)}.") from error


def runs_in_order(cls: Ref) -> bool:
    """Returns whether a class has the forward of nn.Sequential, which runs the children in
    order."""
    if cls.target == "torch.nn:Sequential":
        return True
    try:
        return getattr(locate(cls.target), "forward", None) is nn.Sequential.forward
    except GraphError:
        return False


def signature(target: str) -> inspect.Signature:
    """Returns the signature of a callable; for a class, of its constructor. Raises GraphError if it
    has none."""
    thing = locate(target)
    is_module = isinstance(thing, type) and issubclass(thing, nn.Module)
    called: Any = thing.__init__ if is_module else thing  # recording adds a `__new__`
    is_of_torch = isinstance(called, FunctionType) and called.__module__.startswith("torch.")
    read = _signature_in_torch if is_of_torch else _signature
    try:
        return read(called, 1 if is_module else 0)
    except (TypeError, ValueError) as error:
        raise GraphError(f"{thing!r} has no signature: {error}.") from error


def _signature(called: Any, bound: int) -> inspect.Signature:
    """Returns the signature of a callable without its first `bound` parameters."""
    found = inspect.signature(called)
    return found.replace(parameters=[*found.parameters.values()][bound:])


@functools.lru_cache(maxsize=1024)
def _signature_in_torch(function: Any, bound: int) -> inspect.Signature:
    """Returns the signature of a function of torch, which is read often and never changes."""
    return _signature(function, bound)


def argument(call: Call, name: str) -> Argument:
    """Returns an argument of a call, or its default. Raises GraphError if the call does not accept
    it."""
    bound = _bind(call)
    found = bound.signature.parameters.get(name)
    if name in bound.arguments:
        return bound.arguments[name]
    if found is not None and found.kind is not inspect.Parameter.VAR_KEYWORD:
        return () if found.kind is inspect.Parameter.VAR_POSITIONAL else _constant(found.default)
    extra = _extra(bound)
    if name not in extra:
        raise _unknown(call, name, [*bound.signature.parameters, *extra])
    return extra[name]


def with_argument(call: Call, name: str, value: Argument) -> Call:
    """Returns the call with another value for one argument; how the others are passed is unchanged.

    An argument equal to its default is omitted if possible. Raises GraphError if the call does not
    accept an argument of that name.
    """
    bound = _bind(call)
    parameters = bound.signature.parameters
    found = parameters.get(name)
    if found is None or found.kind is found.VAR_KEYWORD:
        if found or not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            raise _unknown(call, name, [*parameters])
        return Call(call.target, call.args, {**call.kwargs, name: value})
    positional = [p.name for p in parameters.values() if p.kind in _POSITIONAL]
    if found.kind is found.VAR_POSITIONAL:
        given = _positional(bound, len(positional))
        kwargs = {key: item for key, item in call.kwargs.items() if key not in positional}
        return Call(call.target, (*given, *value), kwargs)
    place = positional.index(name) if name in positional else len(call.args)
    if place < len(call.args):
        return _replaced(call, place, value, found)
    if found.kind is found.POSITIONAL_ONLY:
        return Call(call.target, (*_positional(bound, place), value), call.kwargs)
    return _by_name(call, value, found, [*parameters])


def bound_arguments(call: Call) -> dict[str, Argument]:
    """Returns the arguments of a call by parameter name. The `*args` parameter is a single entry;
    keywords that `**kwargs` takes have one entry each. Raises GraphError if the call does not match
    the signature."""
    bound = _bind(call)
    extra = _extra(bound)
    variadic = inspect.Parameter.VAR_KEYWORD
    named = {p.name for p in bound.signature.parameters.values() if p.kind is not variadic}
    return {n: value for n, value in bound.arguments.items() if n in named} | {**extra}


def drop_defaults(call: Call) -> Call:
    """Returns the call without arguments that equal their defaults, if they can be omitted."""
    bound = _bind(call)
    parameters = bound.signature.parameters
    args = call.args
    positional = [p for p in parameters.values() if p.kind in _POSITIONAL]
    while 0 < len(args) <= len(positional) and is_default(args[-1], positional[len(args) - 1]):
        args = args[:-1]
    kwargs = {
        name: value
        for name, value in call.kwargs.items()
        if name not in parameters or not is_default(value, parameters[name])
    }
    return Call(call.target, args, kwargs)


def _by_name(call: Call, value: Argument, parameter: inspect.Parameter, order: list[str]) -> Call:
    """Returns the call with another keyword argument, in the order of the signature."""
    kwargs = {**call.kwargs, parameter.name: value}
    if is_default(value, parameter):
        del kwargs[parameter.name]
    places = {name: place for place, name in enumerate(order)}
    by_place = sorted(kwargs, key=lambda key: places.get(key, len(order)))
    return Call(call.target, call.args, {key: kwargs[key] for key in by_place})


def _replaced(call: Call, place: int, value: Argument, parameter: inspect.Parameter) -> Call:
    """Returns the call with another positional argument; the last one is omitted if it is the
    default."""
    if place == len(call.args) - 1 and is_default(value, parameter):
        return Call(call.target, call.args[:place], call.kwargs)
    args = (*call.args[:place], value, *call.args[place + 1 :])
    return Call(call.target, args, call.kwargs)


def _positional(bound: inspect.BoundArguments, count: int) -> tuple[Argument, ...]:
    """Returns the first arguments of a call, defaults included."""
    parameters = [*bound.signature.parameters.values()][:count]
    return tuple(bound.arguments.get(p.name, _constant(p.default)) for p in parameters)


def _bind(call: Call) -> inspect.BoundArguments:
    try:
        return signature(call.target).bind(*call.args, **call.kwargs)
    except TypeError as error:
        raise GraphError(f"{call.target} does not accept these arguments: {error}.") from error


def _extra(bound: inspect.BoundArguments) -> Mapping[str, Argument]:
    """Returns the arguments that `**kwargs` of the signature takes."""
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            found: Mapping[str, Argument] = bound.arguments.get(parameter.name, {})
            return found
    return {}


def _unknown(call: Call, name: str, names: list[str]) -> GraphError:
    near = did_you_mean(name, names)
    return GraphError(f"{call.target} has no argument {name!r}; it takes {', '.join(names)}.{near}")


def is_default(value: Argument, parameter: inspect.Parameter) -> bool:
    """Returns whether an argument equals the default of its parameter."""
    return parameter.default is not parameter.empty and _same(value, parameter.default)


def _same(value: Argument, thing: Any) -> bool:
    """Returns whether a constant denotes a Python object. Symbolic choices equal nothing."""
    if isinstance(value, Ref):
        return _names(value, thing)
    if type(value) is not type(thing):
        return False
    if isinstance(value, tuple | list):
        return len(value) == len(thing) and all(map(_same, value, thing))
    return isinstance(value, _PLAIN) and bool(value == thing)


def _names(ref: Ref, thing: Any) -> bool:
    try:
        return bool(locate(ref.target) is thing)
    except GraphError:
        return False


def _constant(thing: Any) -> Argument:
    """Returns a default as a constant of the graph."""
    if isinstance(thing, torch.dtype | torch.layout | torch.memory_format):
        return Ref.of_torch(thing)
    if isinstance(thing, tuple | list):
        return type(thing)(map(_constant, thing))
    if isinstance(thing, type) or inspect.isroutine(thing):
        return Ref(public_target(thing))
    return thing
