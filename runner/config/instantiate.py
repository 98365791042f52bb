"""Builds objects from config nodes: checks each `_target_` against an allowlist, then calls it.

Hydra's `instantiate` takes 1.7 ms for a node of 15 keys, too slow for every trial. Here, checking,
type validation and construction share one traversal.
"""

import functools
import importlib
import inspect
import json
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from runner.errors import ConfigError, did_you_mean, one_line, require

ConfigNode = Mapping[str, Any]

ALLOWED = (
    "runner.data", "runner.engines", "runner.evaluators", "runner.mutators", "runner.nn",
    "runner.strategies", "runner.tasks", "runner.training", "spaces",
    "torch.nn", "torch.optim", "torch.utils.data", "optuna.samplers", "optuna.pruners",
    "timm.create_model", "torchvision.models", "torchvision.datasets", "torchvision.transforms",
)  # fmt: skip
DENIED = ("torchvision.datasets.utils", "torch.utils.data.datapipes")  # these download files
KEYWORDS = ("_target_", "_partial_")


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


def arguments(node: ConfigNode) -> dict[str, Any]:
    """Returns the arguments that a node passes to its target."""
    return {key: value for key, value in node.items() if key not in KEYWORDS}


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
    for part in rest:
        if not hasattr(found, part):
            near = did_you_mean(part, [n for n in dir(found) if not n.startswith("_")])
            raise ConfigError(f"{where}._target_ {path!r}: no {part!r} there.{near}")
        found = getattr(found, part)
    return found


def _is_there(module: Any, name: str) -> bool:
    """Returns whether a module has a class or function of a name. A submodule may have the same
    name (torchvision.models.googlenet)."""
    thing = getattr(module, name, None)
    return callable(thing) and not isinstance(thing, ModuleType)


def put(config: dict[str, Any], path: str, value: Any) -> None:
    """Sets a value at a dotted path of a plain config, in place. The path must exist."""
    parts = path.split(".")
    parent: Any = None
    node: Any = config
    for i, part in enumerate(parts):
        if not isinstance(node, dict) or part not in node:
            where = ".".join(parts[:i]) or "the config"
            near = did_you_mean(part, node) if isinstance(node, dict) else ""
            raise ConfigError(f"search names {path!r}, but {where} has no key {part!r}.{near}")
        parent, node = node, node[part]
    parent[parts[-1]] = value


def build(node: ConfigNode, trust: Sequence[str] = (), /, **runtime: Any) -> Any:
    """Builds the object described by a node, inner nodes first; `runtime` are additional arguments.

    With `_partial_: true`, returns a `functools.partial` of the target. The node must have been
    checked.
    """
    target = locate(node["_target_"], trust)
    given = {key: _build_value(value, trust) for key, value in arguments(node).items()}
    if node.get("_partial_", False):
        return functools.partial(target, **given, **runtime)
    return target(**given, **runtime)


def _build_value(value: Any, trust: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, trust)
        return {key: _build_value(item, trust) for key, item in value.items()}
    if isinstance(value, list):
        return [_build_value(item, trust) for item in value]
    return value


def check_arguments(
    config: Any, trust: Sequence[str], where: str = "", runtime: Sequence[str] = ()
) -> None:
    """Checks the names and types of all arguments in a config against their targets' signatures.

    `runtime` are the additional arguments of the outermost node. Imports the targets.
    """
    for place, node in nodes(config, where):
        target = locate(node["_target_"], trust, place)
        _check_node(target, node, place, runtime if place == where else ())


def _check_node(target: Any, node: ConfigNode, where: str, runtime: Sequence[str]) -> None:
    partial = node.get("_partial_", False)
    require(isinstance(partial, bool), f"{where}._partial_", partial, "true or false")
    parameters = signature(target)
    if parameters is None:
        return
    name = getattr(target, "__name__", str(target))
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {key: p for key, p in parameters.items() if p.kind in kinds}
    given = arguments(node)
    for key, value in given.items():
        if key in named:
            check_type(value, named[key].annotation, f"{where}.{key}")
        elif not free:
            near = did_you_mean(key, [p for p in parameters if p not in runtime])
            raise ConfigError(f"{where}.{key}: {name} has no argument {key!r}.{near}")
    if not partial:
        for key, parameter in named.items():
            if parameter.default is parameter.empty and key not in given and key not in runtime:
                raise ConfigError(f"{where}.{key} is missing; {name} needs it.")


@functools.lru_cache(maxsize=1024)
def signature(target: Any) -> dict[str, inspect.Parameter] | None:
    """Returns the parameters of a target, annotations resolved; None if it cannot be inspected."""
    try:
        parameters = inspect.signature(target).parameters
    except (ValueError, TypeError):
        return None
    function = getattr(target, "__init__") if isinstance(target, type) else target  # noqa: B009
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return {
        name: parameter.replace(annotation=_hint(parameter.annotation, names))
        for name, parameter in parameters.items()
    }


def _hint(annotation: Any, names: dict[str, Any]) -> Any:
    """Returns a type; Any without an annotation, or for a name visible to type checkers only."""
    if annotation is inspect.Parameter.empty:
        return Any
    holder = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any


def check_type(value: Any, hint: Any, where: str) -> None:
    """Raises ConfigError, naming the key, if a config value does not have the annotated type."""
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, ValidationError

    if any(True for _ in nodes(value)):
        return  # an object will be built from it
    try:
        _adapter(hint).validate_json(json.dumps(value), strict=True)  # JSON: lists fit tuples
    except ValidationError as error:
        problem = error.errors()[0]
        inner = "".join(f"[{part!r}]" for part in problem["loc"] if isinstance(part, int))
        raise ConfigError(f"{where}{inner} is {problem['input']!r}: {problem['msg']}.") from None
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return  # a third-party type without a schema


@functools.lru_cache(maxsize=1024)
def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(hint)
