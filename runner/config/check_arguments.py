"""Checks the nodes of a config against the signatures of their targets, before a run starts."""

import inspect
import json
import re
import typing
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from runner.config.allowlist import KEYWORDS, ConfigNode, nodes
from runner.config.kinds import advice, check_kind, element, made_by
from runner.config.targets import check_builder, locate, spelled
from runner.errors import ConfigError, as_yaml, did_you_mean, require

NODES = ("callable_type", "is_instance_of")  # pydantic's words for a value that is to be an object


def check_arguments(
    config: Any,
    trust: Sequence[str],
    where: str = "",
    runtime: Sequence[str] = (),
    *,
    expected: Any = Any,
) -> None:
    """Checks a node, or nested lists and mappings of nodes: that each target may be named by a
    config, is what its place expects, and gets arguments of the names and types it takes.

    `runtime` are additional arguments of the outermost node, and `expected` is the type, or any
    annotation, of what the config makes. Imports the targets, and calls nothing. Raises
    ConfigError.
    """
    if isinstance(config, Mapping) and "_target_" in config:
        target = locate(config["_target_"], trust, where)
        check_builder(config["_target_"], config, trust, where)
        partial = config.get("_partial_", False)
        require(isinstance(partial, bool), f"{where}._partial_", partial, "true or false")
        check_kind(target, partial, expected, where)
        forgotten = "" if partial else advice(made_by(target), False, expected, where)
        _check_call(target, config, trust, where, runtime, forgotten)
    elif isinstance(config, Mapping):
        for key, value in config.items():
            inner = f"{where}.{key}" if where else str(key)
            check_arguments(value, trust, inner, expected=element(expected, key))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            check_arguments(value, trust, f"{where}[{i}]", expected=element(expected, i))


def _check_call(
    target: Any,
    node: ConfigNode,
    trust: Sequence[str],
    where: str,
    runtime: Sequence[str],
    advice: str,
) -> None:
    """Checks the arguments of a node, those of inner nodes first. `advice` is for missing ones."""
    parameters = signature(target)
    given = arguments(node)
    for key, value in given.items():
        known = (parameters or {}).get(key)
        hint = Any if known is None else known.annotation
        check_arguments(value, trust, f"{where}.{key}", expected=hint)
    if parameters is None:
        return
    name = getattr(target, "__name__", None) or spelled(target)
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {key: p for key, p in parameters.items() if p.kind in kinds}
    for key, value in given.items():
        if key in runtime:
            raise ConfigError(f"{where}.{key} is set by runner itself; leave it out.")
        if key in named:
            check_type(value, named[key].annotation, f"{where}.{key}")
        elif not free:
            near = did_you_mean(key, [p for p in parameters if p not in runtime])
            raise ConfigError(f"{where}.{key}: {name} has no argument {key!r}.{near}")
    if not node.get("_partial_", False):
        for key, parameter in named.items():
            if parameter.default is parameter.empty and key not in given and key not in runtime:
                raise ConfigError(f"{where}.{key} is missing; {name} needs it.{advice}")


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
        inner = _place(value, problem["loc"])
        told = f": {problem['msg']}"
        if problem["type"] in NODES:
            told = "; it must be a node, such as {_target_: package.Name}"
        if problem["type"] == "predicate_failed":
            told = f"; it must be {_condition(problem['msg'])}"
        raise ConfigError(f"{where}{inner} is {as_yaml(problem['input'])}{told}.") from None
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return  # a third-party type without a schema


def _place(value: Any, parts: Sequence[int | str]) -> str:
    """Returns where in a value something is, as in `.CPU` or `[0]`. Pydantic's `parts` also name
    the alternatives of a type, which are no keys."""
    found = ""
    for part in parts:
        if isinstance(part, int) and isinstance(value, list | tuple) and part < len(value):
            found, value = f"{found}[{part}]", value[part]
        elif isinstance(value, Mapping):
            named = {str(key): inner for key, inner in value.items()}
            if part in named:
                found, value = f"{found}.{part}", named[str(part)]
    return found


def _condition(failed: str) -> str:
    """Returns what a predicate of an annotation demands, by the name of its function, such as "odd"
    for `is_odd`."""
    named = re.search(r"'([\w.]+)'", failed)
    words = named[1].rpartition(".")[2].removeprefix("is_").removeprefix("is") if named else ""
    return words.replace("_", " ").strip() or "as its annotation says"


def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


def arguments(node: ConfigNode) -> dict[str, Any]:
    """Returns the arguments that a node passes to its target."""
    return {key: value for key, value in node.items() if key not in KEYWORDS}
