"""The number of parameters as a proxy: the baseline that all others must beat."""

from typing import final

from torch import nn

from runner.data.data import Batch
from runner.proxies.proxy import Proxy, TrainingLoss


@final
class ParameterProxy(Proxy):
    """The number of parameters, shared ones counted once: larger models come first."""

    runs = False

    def score(self, model: nn.Module, batch: Batch, loss: TrainingLoss | None) -> float:
        return sum(parameter.numel() for parameter in model.parameters())
