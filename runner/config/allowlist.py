"""The allowlist: which import paths a `_target_` of a config may name, and what they lead to."""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from runner.errors import ConfigError, did_you_mean, one_line

ConfigNode = Mapping[str, Any]

ALLOWED = (
    "runner.data", "runner.engines", "runner.evaluators", "runner.mutators", "runner.nn",
    "runner.strategies", "runner.tasks", "runner.training", "spaces",
    "torch.nn", "torch.optim", "torch.utils.data", "optuna.samplers", "optuna.pruners",
    "timm.create_model", "torchvision.models", "torchvision.datasets", "torchvision.transforms",
)  # fmt: skip
DENIED = ("torchvision.datasets.utils", "torch.utils.data.datapipes")  # these download files


def check_targets(config: Any, trust: Sequence[str]) -> None:
    """Raises ConfigError for every `_target_` that is not allowed. Imports nothing."""
    for where, node in nodes(config):
        check_allowed(node["_target_"], trust, where)


def nodes(config: Any, where: str = "") -> Iterator[tuple[str, ConfigNode]]:
    """Yields all nodes with a `_target_`, outermost first, each with its path in the config."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield where, config
        for key, value in config.items():
            yield from nodes(value, f"{where}.{key}" if where else str(key))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            yield from nodes(value, f"{where}[{i}]")


def check_allowed(path: object, trust: Sequence[str], where: str) -> None:
    """Raises ConfigError, with a remedy, for an import path outside the allowlist."""
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise ConfigError(f"{where}._target_ is {path!r}; it must be an import path like pkg.Name.")
    if _below(path, trust) and "__" not in path:
        return
    private = any(part.startswith("_") for part in path.split("."))
    if private or _below(path, DENIED) or not _below(path, ALLOWED):
        raise ConfigError(
            f"{where}._target_ {path!r} is not on the allowlist of a config. {_how_to_trust(path)}"
        )


def _how_to_trust(path: str) -> str:
    """Advises to trust a user's package as a whole, but only single names of any other."""
    package = path.split(".")[0]
    ours = {allowed.split(".")[0] for allowed in ALLOWED}
    wide = package not in ours and package not in sys.stdlib_module_names
    return f"If you trust it, add trust=[{package if wide else path}]."


def _below(path: str, prefixes: Sequence[str]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in prefixes)


def locate(path: str, trust: Sequence[str] = (), where: str = "config") -> Any:
    """Returns the class or function at an import path. Raises ConfigError if it does not exist or
    is not allowed, even if the path leads through an allowed module to an object from elsewhere."""
    check_allowed(path, trust, where)
    found = _import(path, where)
    if isinstance(found, ModuleType) or not callable(found):
        raise ConfigError(f"{where}._target_ {path!r} is not a class or a function.")
    if path not in (*ALLOWED, *trust):
        origin = f"{getattr(found, '__module__', None)}"
        if _below(origin, DENIED) or not _below(origin, (*ALLOWED, *trust)):
            raise ConfigError(
                f"{where}._target_ {path!r} leads to {origin}.{getattr(found, '__name__', '')}, "
                f"which is not on the allowlist of a config. {_how_to_trust(path)}"
            )
    return found


def _import(path: str, where: str) -> Any:
    """Imports the longest prefix of a path that is a module, then looks up attributes. A class or
    function takes precedence over a module of the same name."""
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
    owner = ".".join(done)
    for part in rest:
        if not hasattr(found, part):
            near = did_you_mean(part, [n for n in dir(found) if not n.startswith("_")])
            text = f"{owner!r} has no attribute {part!r}.{near}"
            raise ConfigError(f"{where}._target_ {path!r}: {text}")
        found, owner = getattr(found, part), f"{owner}.{part}"
    return found


def _is_there(module: Any, name: str) -> bool:
    """Returns whether a module has a class or function of a name. A submodule may have the same
    name (torchvision.models.googlenet)."""
    thing = getattr(module, name, None)
    return callable(thing) and not isinstance(thing, ModuleType)
