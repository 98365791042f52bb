"""Imports the target of a config node: a class of an allowed kind, or a builder of models."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from runner.config.allowlist import (
    BUILDERS,
    below,
    check_allowed,
    how_to_trust,
    is_defined_in_allowed,
    kinds_of,
)
from runner.errors import ConfigError, did_you_mean, one_line


def locate(path: str, trust: Sequence[str] = (), where: str = "config") -> Any:
    """Returns the class at an import path, or the function if it is trusted or a builder of models.

    Raises ConfigError if there is none, and if a config may not name it: a method, a class of
    another kind than its package is there for, or anything defined elsewhere than in an allowed
    package, even if an allowed module contains it.
    """
    check_allowed(path, trust, where)
    owner, found = _found(path, where)
    if isinstance(found, ModuleType) or not callable(found):
        raise ConfigError(f"{where}._target_ {path!r} is not a class or a function.")
    if isinstance(owner, type) and not isinstance(found, type):
        raise ConfigError(
            f"{where}._target_ {path!r} is a method; it must be a class, or a function of a module."
        )
    if path in (*BUILDERS, *trust):
        return found
    origin = f"{getattr(found, '__module__', None)}"
    if not is_defined_in_allowed(origin, trust):
        raise ConfigError(
            f"{where}._target_ {path!r} leads to {origin}.{getattr(found, '__name__', '')}, "
            f"which is not on the allowlist of a config. {how_to_trust(path)}"
        )
    if below(origin, trust) or _is_of_kind(found, origin) or _is_registered(found, origin):
        return found
    what = "class" if isinstance(found, type) else "function"
    raise ConfigError(
        f"{where}._target_ {path!r} is not on the allowlist of a config, which has no such {what} "
        f"of {origin}. {how_to_trust(path)}"
    )


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
            raise ConfigError(f"{where}.{key} reads a file. {how_to_trust(path)}")
    if path == "timm.create_model" and isinstance(name, str) and ":" in name:
        raise ConfigError(
            f"{where}.model_name is {name!r}, which reads a model from elsewhere. "
            f"{how_to_trust(path)}"
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
            raise ConfigError(
                f"{where}._target_ {path!r}: importing {name} needs the module {missing.name!r}, "
                "which is not installed."
            ) from missing
        except (Exception, SystemExit) as error:
            text = f"{where}._target_ {path!r}: importing {name} failed: {one_line(error)}"
            raise ConfigError(text) from error
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


def _is_there(module: Any, name: str) -> bool:
    """Returns whether a module has a class or function of a name. A submodule may have the same
    name (torchvision.models.googlenet)."""
    thing = getattr(module, name, None)
    return callable(thing) and not isinstance(thing, ModuleType)
