"""Calls of users' functions, which are given what their parameters name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.errors import ConfigError, message

Passing = tuple[list[Any], dict[str, Any]]
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def arguments_for(
    fn: Callable[..., Any], offered: Mapping[str, Any], leading: Sequence[str]
) -> Passing:
    """Returns the arguments of a call: what of `offered` a function has parameters for, and has not
    been preset.

    Those of `leading` also go, in their order, to parameters of other names that need a value, and
    to `*args`; a function without a signature is called with them alone.
    """
    try:
        parameters = [*inspect.signature(fn).parameters.values()]
    except (TypeError, ValueError):  # some functions written in C have none
        return [offered[name] for name in leading], {}
    preset = getattr(fn, "keywords", {})
    named = {p.name for p in parameters if p.kind in (*POSITIONAL, p.KEYWORD_ONLY)} - {*preset}
    left = [name for name in leading if name not in named]
    args: list[Any] = []
    given: set[str] = set()
    for parameter in [p for p in parameters if p.kind in POSITIONAL]:
        if parameter.name in offered:
            name = parameter.name
        elif left and parameter.default is parameter.empty:
            name = left.pop(0)
        else:
            break
        args.append(offered[name])
        given.add(name)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        args += [offered[name] for name in left]
        given.update(left)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named = offered.keys() - {*preset}
    return args, {name: offered[name] for name in offered if name in named - given}


def check_call(
    key: str, fn: Callable[..., Any], offered: Sequence[str], leading: Sequence[str]
) -> None:
    """Raises ConfigError for a function that cannot be called so. `key` is its key in the
    config."""
    preset = getattr(fn, "keywords", {})
    for name in leading:
        if name in preset:
            raise ConfigError(f"{key}.{name} is set by runner itself; leave it out.")
    values = dict(zip(offered, offered, strict=True))
    args, named = arguments_for(fn, values, leading)
    problem = ""
    try:
        inspect.signature(fn).bind(*args, **named)
    except TypeError as error:
        problem = message(error)
    except ValueError:  # it has no signature
        return
    if not problem and leading[0] not in (*args, *named):
        problem = f"it takes no {leading[0]}"
    if problem:
        raise ConfigError(
            f"{key} ({name_of(fn)}) is called with those of {', '.join(offered)} that it has "
            f"parameters for, which is not enough: {problem}. Give other arguments in the config, "
            f"as {key}.NAME=VALUE."
        )


def name_of(fn: Callable[..., Any]) -> str:
    """Returns the import path of a function, or of the class of an object that is called."""
    inner = getattr(fn, "func", fn)
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    return f"{named.__module__}.{named.__qualname__}"
