"""Sizes that a model takes from its data: arguments of a space that are named after them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Any

from runner.config.allowlist import below
from runner.config.check_arguments import check_type
from runner.config.forwarded_parameters import taken_parameters
from runner.config.targets import locate
from runner.errors import ConfigError, as_yaml

SizedNode = Mapping[str, Any]


def sizes_of(data: SizedNode) -> dict[str, tuple[Any, str]]:
    """Returns the arguments of a model that follow from the data: their values, and the key of the
    config that they come from.

    `shape` is that of one input, `inputs` the number of its values, and `in_channels` that of the
    channels of an image; `classes` and `num_classes` are the number of classes, or of outputs.
    """
    found: dict[str, tuple[Any, str]] = {}
    shape, classes = data.get("shape"), data.get("classes")
    if isinstance(shape, list) and shape and all(type(size) is int for size in shape):
        found["shape"] = shape, "data.shape"
        found["inputs"] = math.prod(shape), "data.shape"
        if len(shape) == 3:
            found["in_channels"] = shape[0], "data.shape"
    if type(classes) is int:
        found["classes"] = found["num_classes"] = classes, "data.classes"
    return found


def missing_sizes(
    node: SizedNode, data: SizedNode, parameters: Mapping[str, Parameter], where: str
) -> dict[str, Any]:
    """Returns the sizes that the class or function of a node has parameters for, and that the node
    does not give. A parameter whose annotation does not fit is about something else."""
    found = {}
    for name, (value, _) in sizes_of(data).items():
        if name in parameters and name not in node:
            try:
                check_type(value, parameters[name].annotation, f"{where}.{name}")
            except ConfigError:
                continue
            found[name] = value
    return found


def unset_sizes(
    node: SizedNode, data: SizedNode, trust: Sequence[str], where: str = "space"
) -> Iterator[str]:
    """Yields a clause for each size that a base class of a node's class takes, that the node does
    not give, and of which nobody can tell whether `**kwargs` would pass it on: "space.classes is
    not set, but data.classes is 100"."""
    target = node.get("_target_")
    if isinstance(target, str) and below(target, trust):
        beyond = taken_parameters(locate(target, trust, where)).beyond
        for name in missing_sizes(node, data, beyond, where):
            yield f"{where}.{name} is not set, but {_of_data(name, data)}"
    inner = node.get("model")
    if isinstance(inner, Mapping):
        yield from unset_sizes(inner, data, trust, f"{where}.model")


def _of_data(name: str, data: SizedNode) -> str:
    """Returns what the data say of a size: "data.shape is [1, 8, 8], which is 64 numbers"."""
    value, key = sizes_of(data)[name]
    total = f", which is {value:,} numbers" if name == "inputs" else ""
    return f"{key} is {as_yaml(data[key.partition('.')[2]])}{total}"


def differing_sizes(node: SizedNode, data: SizedNode, where: str = "space") -> Iterator[str]:
    """Yields a clause for each size of a model that differs from that of the data: "space.classes
    is 10, but data.classes is 100"."""
    for name, (value, _) in sizes_of(data).items():
        if name in node and node[name] != value:
            yield f"{where}.{name} is {as_yaml(node[name])}, but {_of_data(name, data)}"
    inner = node.get("model")
    if isinstance(inner, Mapping):
        yield from differing_sizes(inner, data, f"{where}.model")
