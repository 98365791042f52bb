"""Non-parameter state of models (buffers, attributes), saved and restored."""

from collections.abc import Iterable
from copy import copy
from typing import Any, final

import torch
from torch import Tensor, nn

CONTAINERS = (dict, list, set)


@final
class Snapshot:
    """The buffers and plain attributes of all modules, including the containers and tensors in
    them, but not the inside of other objects."""

    def __init__(self, models: Iterable[nn.Module]) -> None:
        modules = [module for model in models for module in model.modules()]
        self._attributes = [(vars(module), {**vars(module)}) for module in modules]
        inside = [
            (value, copy(value))
            for _, before in self._attributes
            for value in before.values()
            if isinstance(value, CONTAINERS)
        ]
        self._containers: list[tuple[Any, Any]] = inside
        plain = [value for _, before in self._attributes for value in before.values()]
        buffers = [buffer for module in modules for buffer in module._buffers.values()]
        tensors = [t for t in (*plain, *buffers) if isinstance(t, Tensor)]
        self._tensors = [(tensor, tensor.detach().clone()) for tensor in tensors]

    @torch.no_grad()
    def restore(self) -> None:
        """Restores the saved state."""
        for now, before in self._attributes:
            now.clear()
            now.update(before)
        for container, before in self._containers:
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(before)
        for tensor, values in self._tensors:
            tensor.copy_(values)
