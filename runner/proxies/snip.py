"""SNIP (Lee et al. 2019, https://arxiv.org/abs/1810.02340), as a score of whole models.

Summed up over the weights of a model by Abdelfattah et al. 2021, https://arxiv.org/abs/2101.08134.
"""

from typing import final

from torch import nn

from runner.data.data import Batch
from runner.proxies.proxy import Proxy, TrainingLoss, gradients_of


@final
class Snip(Proxy):
    """How much the loss of one batch depends on each weight being there, |weight x gradient|, added
    up over all weights."""

    needs_loss = True

    def score(self, model: nn.Module, batch: Batch, loss: TrainingLoss | None) -> float:
        found = gradients_of(model, batch, loss)
        return sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in found)
