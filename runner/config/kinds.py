"""Whether what a config node builds is of the kind that its place expects, by annotations."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runner.config.allowlist import ALLOWED
from runner.config.targets import kind_named, spelled
from runner.errors import ConfigError

# The kinds of the groups of a config: each has a place of its own, and no other.
GROUPS = tuple(
    kind
    for prefix, kinds in ALLOWED.items()
    for kind in kinds
    if prefix.startswith("runner.") and kind.startswith("runner.")
)


def check_kind(target: Any, partial: bool, expected: Any, where: str) -> None:
    """Raises ConfigError if what a node builds is not what its place expects.

    `target` is a class, or a function, which is known by its annotation only. With `partial`, the
    node builds a `functools.partial` of it. `expected` is a type, or any annotation.
    """
    if inspect.isabstract(target):
        raise ConfigError(
            f"{where}._target_ is {spelled(target)}, which is abstract: name a class that "
            "implements it."
        )
    made = made_by(target)
    if not _fits(made, partial, expected):
        raise ConfigError(
            f"{where}._target_ is {spelled(target)}, which makes {described(made, partial)}; "
            f"{where} must be {_expected(expected)}.{advice(made, partial, expected, where)}"
        )


def element(expected: Any, key: object) -> Any:
    """Returns the annotation of an element of a list (`key` is its index), or of the value of a
    mapping at a key; Any if it is unknown."""
    for option in _options(expected):
        origin, given = typing.get_origin(option), typing.get_args(option)
        if not isinstance(origin, type) or not given:
            continue
        if issubclass(origin, Mapping):
            if not isinstance(key, int):
                return given[1]
        elif origin is tuple and given[-1] is not Ellipsis and isinstance(key, int):
            return given[key] if key < len(given) else Any
        elif issubclass(origin, Iterable) and isinstance(key, int):
            return given[0]
    return Any


def _fits(made: Any, partial: bool, expected: Any) -> bool:
    """Returns whether an instance of a class, or a partial of it, fits an annotation. What is made
    is unknown if it is Any."""
    return any(_fits_one(made, partial, option) for option in _options(expected))


def _fits_one(made: Any, partial: bool, expected: Any) -> bool:
    origin = typing.get_origin(expected) or expected
    if expected in (Any, object) or isinstance(expected, typing.TypeVar):
        return made is Any or not issubclass(made, tuple(map(kind_named, GROUPS)))
    if origin is Callable:
        return _fits_callable(made, partial, typing.get_args(expected))
    if partial or not isinstance(origin, type):
        return False
    if made is Any:
        return True
    try:
        return issubclass(made, origin)
    except TypeError:  # a protocol that cannot be checked
        return True


def _fits_callable(made: Any, partial: bool, given: tuple[Any, ...]) -> bool:
    """Returns whether a partial, or an instance of a class, can be called as annotated."""
    arguments, returned = given or (..., Any)
    if partial:
        return _fits(made, False, returned)
    if made is Any:
        return True
    call = getattr(made, "forward", None) or getattr(made, "__call__", None)  # noqa: B004
    if not issubclass(made, Callable) or call is None:  # type: ignore[arg-type]
        return False
    try:
        inspect.signature(call).bind(None, *(() if arguments is ... else arguments))
    except ValueError:  # a signature that is unknown
        return True
    except TypeError:
        return arguments is ...
    return True


def _options(expected: Any) -> list[Any]:
    """Returns the members of a union, without None; or the annotation alone."""
    origin = typing.get_origin(expected)
    if origin is typing.Annotated:
        return _options(typing.get_args(expected)[0])
    if origin in (typing.Union, types.UnionType):
        members = [m for m in typing.get_args(expected) if m is not type(None)]
        return [option for member in members for option in _options(member)]
    return [Any if expected is inspect.Parameter.empty else expected]


def made_by(target: Any) -> Any:
    """Returns the class of what a target makes; Any if that is unknown."""
    while isinstance(target, functools.partial):
        target = target.func
    return target if isinstance(target, type) else _returned(target)


def _returned(function: Any) -> Any:
    """Returns the class that a function is annotated to return; Any if that is unknown."""
    try:
        found = typing.get_type_hints(inspect.unwrap(function)).get("return", Any)
    except (NameError, TypeError, AttributeError):
        return Any
    origin = typing.get_origin(found) or found
    plain = isinstance(origin, type) and origin not in (type(None), types.UnionType, int, bool)
    return origin if plain else Any  # of several types, or a number of another kind: unknown


def described(made: Any, partial: bool) -> str:
    """Returns what a node makes, in words."""
    if made is Any:
        return "an object of unknown kind"
    article = "an" if made.__name__[0] in "AEIOU" else "a"
    return f"{'a partial of ' if partial else article + ' '}{made.__name__}"


def _expected(expected: Any) -> str:
    """Returns an annotation in words: names without modules."""
    options = _options(expected)
    if not options or options in ([Any], [object]):
        return "a value or a part of a model, its training or its data"
    return " or ".join(map(_in_words, options))


def _in_words(option: Any) -> str:
    origin = typing.get_origin(option)
    if _is_callable(option):
        if made := _made_by_partial(option):
            return f"a partial that makes {_in_words(made)} (_partial_: true)"
        return "a function or callable object"
    name = getattr(origin or option, "__name__", str(option))
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def advice(made: Any, partial: bool, expected: Any, where: str) -> str:
    """Returns a sentence that advises to set or to drop `_partial_`, or to give a class the method
    that is called, if that is all there is to do; or ""."""
    called = [option for option in _options(expected) if _is_callable(option)]
    if called and not partial and _fits(made, True, expected):
        return f" Did you forget {where}._partial_=true?"
    if made is Any:
        return ""
    if any(map(_made_by_partial, called)):
        return ""
    if partial and _fits(made, False, expected):
        return f" Drop {where}._partial_."
    if called and not issubclass(made, Callable):  # type: ignore[arg-type]
        return f" Such a {made.__name__} cannot be called: it has no method __call__."
    return ""


def _is_callable(option: Any) -> bool:
    return (typing.get_origin(option) or option) is Callable


def _made_by_partial(option: Any) -> Any:
    """Returns the class of what a callable is annotated to make of any arguments; None if it is a
    callable of another kind."""
    given = typing.get_args(option)
    return given[1] if given and given[0] is ... and isinstance(given[1], type) else None
