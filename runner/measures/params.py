"""The number of parameters of a model."""

from typing import final

import torch
from torch import Tensor, nn

from runner.measures.measure import Measure


@final
class ParameterCount(Measure):
    """The number of a model's parameters, shared ones counted once."""

    exact = True
    runs = False

    def measure(self, model: nn.Module, example: Tensor, device: torch.device) -> float:
        return sum(parameter.numel() for parameter in model.parameters())
