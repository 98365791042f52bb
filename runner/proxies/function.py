"""A proxy that is a function of the user's."""

from collections.abc import Callable
from typing import final

from torch import nn

from runner.data.data import Batch
from runner.proxies.proxy import Proxy, TrainingLoss


@final
class FunctionProxy(Proxy):
    """What a function returns for an untrained model: one number, higher for a better one."""

    runs = False

    def __init__(self, *, fn: Callable[[nn.Module], float]) -> None:
        self.fn = fn

    def score(self, model: nn.Module, batch: Batch, loss: TrainingLoss | None) -> float:
        return self.fn(model)
