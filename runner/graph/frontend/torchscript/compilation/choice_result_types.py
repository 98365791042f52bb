"""Choices whose candidates return other types than TorchScript assumed, so that a test of the
result, which it folded, may have another outcome."""

import inspect
from typing import Any

from torch import nn

from runner.graph.frontend.reading.opaque import is_choice
from runner.graph.frontend.torchscript.module_type import CompiledType


def may_return_other_types(model: nn.Module, types: dict[int, CompiledType]) -> bool:
    """Returns whether a compiled model has such a choice."""
    return any(_may_return_other_type(m, types) for m in model.modules() if is_choice(type(m)))


def _may_return_other_type(choice: Any, types: dict[int, CompiledType]) -> bool:
    """Returns whether a choice may return a type that TorchScript did not assume."""
    if choice.kind == "InputChoice":
        facts = choice.facts()
        chosen = facts["chosen"] if facts["choice"] is None else facts["choice"].chosen
        return not chosen and facts["reduction"] != "none"  # None, for an empty subset
    if choice.kind == "Cell":
        return False
    told = _result(choice, types)
    return any(_result(candidate, types) != told for candidate in choice.children())


def _result(module: nn.Module, types: dict[int, CompiledType]) -> str | None:
    """Returns the return type of a module to TorchScript; None if nothing declares it."""
    found = types[id(module)]
    if not found.has("forward"):
        return None
    if found.stubbed and not is_choice(type(module)) and not _declares_result(module):
        return None
    [result] = found.methods._get_method("forward").schema.returns
    text: str = result.type.annotation_str
    return text


def _declares_result(module: nn.Module) -> bool:
    """Returns whether the source declares the return type of a forward; torch's layers need not."""
    if type(module).__module__.startswith("torch.nn."):
        return True
    signature = inspect.signature(type(module).forward)
    return signature.return_annotation is not signature.empty
