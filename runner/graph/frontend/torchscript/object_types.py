"""Whether objects agree with the types that TorchScript has of their classes."""

from typing import Any

import torch

from runner.graph.frontend.literals.object_state import state_of
from runner.graph.frontend.torchscript.module_type import CompiledType

_BOUND = "__torch__.torch.classes"  # objects of C++


def is_known(found: CompiledType, name: str, value: Any) -> bool:
    """Returns whether an attribute of a module is an object whose attributes are those its class
    declares to TorchScript, with these types. True for anything but objects of users' classes."""
    entry = None if found.concrete is None else found.concrete.get_attributes().get(name)
    if entry is None or entry[0].kind() != "ClassType":
        return True
    if entry[0].annotation_str.startswith(_BOUND):
        return True
    values, kinds = [*state_of(value).values()], entry[0].containedTypes()
    return len(values) == len(kinds) and all(map(_fits, values, kinds))


def _fits(value: Any, kind: Any) -> bool:
    """Returns whether a value has a type of TorchScript."""
    found: Any = torch._C._jit_try_infer_type(value)
    return bool(found.success() and found.type().isSubtypeOf(kind))
