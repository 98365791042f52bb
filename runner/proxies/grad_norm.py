"""The norm of the gradient (Abdelfattah et al. 2021, https://arxiv.org/abs/2101.08134)."""

from typing import final

from torch import nn

from runner.data.data import Batch
from runner.proxies.proxy import Proxy, TrainingLoss, gradients_of


@final
class GradientNorm(Proxy):
    """The Euclidean norms of the gradients of all weights, added up, after one batch."""

    needs_loss = True

    def score(self, model: nn.Module, batch: Batch, loss: TrainingLoss | None) -> float:
        return sum(float(gradient.norm()) for _, gradient in gradients_of(model, batch, loss))
