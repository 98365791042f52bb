"""Annotations of parameters, as a function of the IR has them."""

import inspect
import types
import typing
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import torch

_NAMES = {
    kind: kind.__name__ for kind in (bool, int, float, complex, str, list, dict, tuple)
} | {torch.Tensor: "torch.Tensor", torch.device: "torch.device", type(None): "None", None: "None",
        "Tensor": "torch.Tensor"}  # fmt: skip


def annotations_of(function: FunctionType) -> Mapping[str, Any]:
    """Returns the annotations of a function, as values where they can be evaluated."""
    try:
        return inspect.get_annotations(function, eval_str=True)
    except Exception:  # a name that only type checkers import
        return inspect.get_annotations(function)


def annotation(kind: Any) -> str:
    """Returns an annotation as it is written, `list[torch.Tensor] | None`; "" for one that names
    other classes."""
    try:
        return _written(kind)
    except (KeyError, TypeError):  # TypeError: one that is no class
        return ""


def is_object(kind: Any) -> bool:
    """Returns whether an annotation is a class of other objects than tensors."""
    return isinstance(kind, type) and kind is not object and not issubclass(kind, torch.Tensor)


def _written(kind: Any) -> str:
    """Raises KeyError or TypeError for an annotation that names other classes."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is None:
        return _NAMES[kind]
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_written, args))
    inner = ["..." if arg is ... else _written(arg) for arg in args]
    return _NAMES[origin] if not inner else f"{_NAMES[origin]}[{', '.join(inner)}]"
