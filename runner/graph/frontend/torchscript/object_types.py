"""Whether an object is what TorchScript takes it for: it compiles the class, and no object."""

from typing import Any

import torch

from runner.graph.frontend.object_state import state_of
from runner.graph.frontend.torchscript.module_type import CompiledType

_BOUND = "__torch__.torch.classes"  # objects of C++


def is_known(found: CompiledType, name: str, value: Any) -> bool:
    """Whether all attributes of an object that a module has under a name are those that its class
    declares to TorchScript, and of those types; True for what is no object of a user's class."""
    entry = None if found.concrete is None else found.concrete.get_attributes().get(name)
    if entry is None or entry[0].kind() != "ClassType":
        return True
    if entry[0].annotation_str.startswith(_BOUND):
        return True
    values, kinds = [*state_of(value).values()], entry[0].containedTypes()
    return len(values) == len(kinds) and all(map(_fits, values, kinds))


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type of TorchScript's."""
    found: Any = torch._C._jit_try_infer_type(value)
    return bool(found.success() and found.type().isSubtypeOf(kind))
