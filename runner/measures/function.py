"""A measure that is a function of the user's."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from runner.measures.measure import Measure


@final
class Function(Measure):
    """What a function returns for a model: one number."""

    def __init__(self, *, fn: Callable[[nn.Module], float]) -> None:
        self.fn = fn

    def measure(self, model: nn.Module, example: Tensor, device: torch.device) -> float:
        return self.fn(model)
