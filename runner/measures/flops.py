"""The arithmetic of a model: floating-point operations for one example."""

from typing import final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from runner.measures.measure import Measure


@final
class Flops(Measure):
    """Floating-point operations of a forward pass on one example, by torch's own counter.

    A multiply-add counts as two. Only matrix products, convolutions and attention count, as is
    usual; in eval mode.
    """

    exact = True

    def measure(self, model: nn.Module, example: Tensor, device: torch.device) -> float:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(example)
        return float(counter.get_total_flops())
