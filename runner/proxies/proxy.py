"""The contract of zero-cost proxies: a score of a model before it is trained, on one batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from runner.data.data import Batch

# Outputs and targets -> the training loss of each example, (N,).
TrainingLoss = Callable[[Tensor, Tensor], Tensor]


class Proxy(ABC):
    """A score of an untrained model, higher for one that is expected to train to a better result.
    Its name is its key in the config, below `proxy`.

    `runs` is whether it runs the model; others get no examples. `needs_loss` is whether it needs
    the training loss.
    """

    runs: ClassVar[bool] = True
    needs_loss: ClassVar[bool] = False

    @abstractmethod
    def score(self, model: nn.Module, batch: Batch, loss: TrainingLoss | None) -> float:
        """Returns the score of a model, which is thrown away afterwards and may be changed.

        The model and the `batch` (inputs (N, ...), targets) are on one device. Raises an exception
        for a model that it cannot score; one whose score is not finite counts as such, too.
        """


def in_training(model: nn.Module) -> nn.Module:
    """Puts a model in training mode, in which batch norms normalize, but without dropout, which
    would be noise."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    return model


def weights_of(model: nn.Module) -> Sequence[nn.Parameter]:
    """Returns the trained weights of a model, shared ones once: parameters of two dimensions or
    more, as of linear layers and convolutions, without biases and the scales of norms."""
    return [p for p in model.parameters() if p.requires_grad and p.ndim > 1]


def gradients_of(
    model: nn.Module, batch: Batch, loss: TrainingLoss | None
) -> Sequence[tuple[nn.Parameter, Tensor]]:
    """Returns each weight that the mean loss of a batch depends on, with its gradient."""
    assert loss is not None, "a proxy that needs the loss is given one"
    inputs, targets = batch
    weights = weights_of(model)
    if not weights:
        return []
    mean = loss(in_training(model)(inputs), targets).mean()
    found = torch.autograd.grad(mean, weights, allow_unused=True)
    pairs = zip(weights, found, strict=True)
    return [(weight, gradient) for weight, gradient in pairs if gradient is not None]
