"""Imports the target of a config node: a class of an allowed kind, or a builder of models."""

import functools
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from runner.config.allowlist import (
    ALLOWED,
    BUILDERS,
    below,
    check_allowed,
    how_to_trust,
    is_defined_in_allowed,
    kinds_of,
)
from runner.errors import ConfigError, did_you_mean, one_line, place


def locate(path: str, trust: Sequence[str] = (), where: str = "config") -> Any:
    """Returns the class at an import path, or the function if it is trusted or a builder of models;
    of one that caches what it made, the one inside, since each trial needs a model of its own.

    Raises ConfigError if there is none, and if a config may not name it: a method, an object made
    already, a class of another kind than its package is there for, or anything defined elsewhere
    than in an allowed package, even if an allowed module contains it.
    """
    check_allowed(path, trust, where)
    owner, found = _found(path, where)
    _check_callable(owner, found, f"{where}._target_ {path!r}")
    found = _without_cache(found)
    if path in (*BUILDERS, *trust):
        return found
    made = _wrapped(found)
    origin = f"{getattr(made, '__module__', None)}"
    if not is_defined_in_allowed(origin, trust):
        raise ConfigError(
            f"{where}._target_ {path!r} leads to {spelled(found)}, which is not on the allowlist "
            f"of a config. {how_to_trust(path, trust, origin)}"
        )
    if below(origin, trust):
        return found
    is_own = found is made or below(path, trust)  # or whose arguments somebody else chose
    if is_own and (_is_of_kind(made, origin) or _is_registered(made, origin)):
        return found
    what = "class" if isinstance(made, type) else "function"
    raise ConfigError(
        f"{where}._target_ {path!r} is not on the allowlist of a config, which has no such {what} "
        f"of {origin}. {how_to_trust(path, trust)}"
    )


def spelled(target: Any) -> str:
    """Returns the name of a target, with its module: of a partial, also what it is one of."""
    if isinstance(target, functools.partial):
        return f"a partial of {spelled(target.func)}"
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{target.__module__}.{named.__qualname__}"


def _check_callable(owner: Any, found: Any, name: str) -> None:
    """Raises ConfigError for what cannot be called to make something: an attribute that is no class
    or function, a method, or an object that is made already."""
    kind = type(found)
    if isinstance(found, ModuleType) or not callable(found) or _is_made(found):
        what = "a module" if isinstance(found, ModuleType) else f"an object of {spelled(kind)}"
        raise ConfigError(
            f"{name} is not a class or a function, but {what}; name a class, or a function that "
            "returns a new object each time."
        )
    if isinstance(owner, type) and not isinstance(found, type):
        raise ConfigError(f"{name} is a method; it must be a class, or a function of a module.")


def _is_made(found: Any) -> bool:
    """Returns whether something is an object of a kind that configs are to make, such as a model
    that could be called, too. Only modules imported already can have made one."""
    if isinstance(found, type | FunctionType):
        return False
    kinds = {kind.rpartition(".") for every in ALLOWED.values() for kind in every}
    loaded = (getattr(sys.modules.get(m), name, ()) for m, _, name in kinds if m != "typing")
    return any(isinstance(found, kind) for kind in loaded)


def _without_cache(found: Any) -> Any:
    """Returns what `functools.cache` and `lru_cache` call, also inside of a partial."""
    if isinstance(found, functools._lru_cache_wrapper):
        return _without_cache(found.__wrapped__)
    if isinstance(found, functools.partial):
        return functools.partial(_without_cache(found.func), *found.args, **found.keywords)
    return found


def _wrapped(found: Any) -> Any:
    """Returns what a partial calls."""
    return _wrapped(found.func) if isinstance(found, functools.partial) else found


def imported(path: str, where: str) -> Any:
    """Returns what an import path leads to, allowed or not. Raises ConfigError if there is none."""
    return _found(path, where)[1]


def kind_named(path: str) -> Any:
    """Returns the class at an import path that the package itself names."""
    if path == "typing.Callable":
        return Callable
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def check_builder(path: str, given: Mapping[str, Any], trust: Sequence[str], where: str) -> None:
    """Raises ConfigError for arguments of a builder that would read files or the network."""
    if path in trust or below(path, trust):
        return
    name = given.get("model_name")
    if BUILDERS.get(path) and given.get("_partial_"):  # what calls it would choose its arguments
        raise ConfigError(f"{where}._partial_ is true; {path} builds a model at once here.")
    for key in BUILDERS.get(path, ()):
        if given.get(key) is not None:
            raise ConfigError(f"{where}.{key} reads a file. {how_to_trust(path, trust)}")
    if path == "timm.create_model" and isinstance(name, str) and ":" in name:
        raise ConfigError(
            f"{where}.model_name is {name!r}, which reads a model from elsewhere. "
            f"{how_to_trust(path, trust)}"
        )


def _is_of_kind(found: object, origin: str) -> bool:
    """Returns whether a class is of a kind that a config may name of its module."""
    if not isinstance(found, type):
        return False
    return any(issubclass(found, kind_named(kind)) for kind in kinds_of(origin))


def _is_registered(found: object, origin: str) -> bool:
    """Returns whether a function is a builder that torchvision lists among its models."""
    if not isinstance(found, FunctionType) or not below(origin, ["torchvision.models"]):
        return False
    models = importlib.import_module("torchvision.models")
    return found in map(models.get_model_builder, models.list_models())


def _found(path: str, where: str) -> tuple[Any, Any]:
    """Imports the longest prefix of a path that is a module, then looks up attributes; returns what
    contains the last one, and what it is. A class or function takes precedence over a module of the
    same name."""
    owner: Any = None
    found: Any = None
    done: list[str] = []
    rest = path.split(".")
    while rest:
        if len(rest) == 1 and _is_there(found, rest[0]):
            break
        name = ".".join([*done, rest[0]])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name and (name == missing.name or name.startswith(f"{missing.name}.")):
                break
            raise _not_imported(path, name, missing, where) from missing
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit, which would end the program
            raise _not_imported(path, name, error, where) from error
        done.append(rest.pop(0))
    if not done:
        raise ConfigError(
            f"{where}._target_ {path!r}: there is no module {rest[0]!r}. "
            "Is it installed, or in the working directory?"
        )
    name = ".".join(done)
    for part in rest:
        if not hasattr(found, part):
            near = did_you_mean(part, [n for n in dir(found) if not n.startswith("_")])
            text = f"{name!r} has no attribute {part!r}.{near}"
            raise ConfigError(f"{where}._target_ {path!r}: {text}")
        owner, found, name = found, getattr(found, part), f"{name}.{part}"
    return owner, found


def _not_imported(path: str, name: str, error: BaseException, where: str) -> ConfigError:
    """Returns the error for a module of the user that fails while it is imported."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        text = f"importing {name} needs the module {error.name!r}, which is not installed"
    elif isinstance(error, SyntaxError):  # without its file and line, which are added to all
        text = f"importing {name} failed: {type(error).__name__}: {error.msg}"
    else:
        text = f"importing {name} failed: {one_line(error)}"
    return ConfigError(f"{where}._target_ {path!r}: {text}{place(error)}")


def _is_there(module: Any, name: str) -> bool:
    """Returns whether a module has a class or function of a name. A submodule may have the same
    name (torchvision.models.googlenet)."""
    thing = getattr(module, name, None)
    return callable(thing) and not isinstance(thing, ModuleType)
