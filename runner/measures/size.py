"""The size of a model's weights."""

from typing import final

import torch
from torch import Tensor, nn

from runner.measures.measure import Measure


@final
class Size(Measure):
    """The bytes of a model's weights, as they are saved: parameters and buffers."""

    unit = "B"
    exact = True
    runs = False

    def measure(self, model: nn.Module, example: Tensor, device: torch.device) -> float:
        kept = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
        total: int = sum(tensor.numel() * tensor.element_size() for tensor in kept.values())
        return total
