"""Checks the arguments in a config against the signatures of their targets, before a run starts."""

import inspect
import json
import typing
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from runner.config.allowlist import ConfigNode, locate, nodes
from runner.errors import ConfigError, did_you_mean, require

KEYWORDS = ("_target_", "_partial_")


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


def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


def arguments(node: ConfigNode) -> dict[str, Any]:
    """Returns the arguments that a node passes to its target."""
    return {key: value for key, value in node.items() if key not in KEYWORDS}
