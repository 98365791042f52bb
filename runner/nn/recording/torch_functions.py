"""Classification of torch functions as a TorchFunctionMode sees them, and their import paths."""

import sys
from types import FrameType, MethodDescriptorType, WrapperDescriptorType
from typing import Any

import torch
from torch import Tensor

from runner.operators import is_in_place

SET_ITEM = Tensor.__setitem__
CASTS = {".to", ".type", ".double", ".float", ".half", ".bfloat16"}
KEEP_VALUES = {"requires_grad_", "detach_", "share_memory_", "rename_", "set_"}


def name_of(function: Any) -> str:
    name: str = getattr(function, "__name__", "")
    return name


unwatched = torch._C.DisableTorchFunction  # a context manager under which calls are not traced


def makes_or_changes(function: Any, result: Any) -> bool:
    return isinstance(result, Tensor | tuple | list) or function is SET_ITEM


def sets_data(function: Any) -> bool:
    return name_of(function) == "__set__" and function.__self__ is torch._C.TensorBase.data


def changes(function: Any) -> bool:
    name = name_of(function)
    return is_in_place(name) and name not in KEEP_VALUES


def target_of(function: Any) -> str:
    """Returns the import path of a function: "module:qualname", ".name" for a method of tensors, or
    "" if it is not accessible by its name."""
    name = name_of(function)
    method = isinstance(function, MethodDescriptorType | WrapperDescriptorType)
    if method or getattr(Tensor, name, None) is function:
        return f".{name}"
    home = sys.modules.get(getattr(function, "__module__", None) or "torch", torch)
    for module in (torch, home):
        if getattr(module, name, None) is function:
            return f"{module.__name__}:{name}"
    return ""


def unseen(*args: Any) -> None:
    """Serves as a placeholder for a call that was not seen."""


def copies(function: Any, frame: FrameType) -> bool:
    """Returns whether a call copies the values of a tensor as part of a deep copy."""
    if name_of(function) == "__deepcopy__":
        return True
    inside = frame.f_code.co_name == "__deepcopy__" and name_of(function) == "clone"
    return inside and frame.f_globals["__name__"].startswith("torch.")
