"""The replicas of a model in training: one on each device of its trial."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from runner.data.data import Batch
from runner.trial import Failure

Forward = Callable[[Tensor], Tensor]  # a model, or another form of it


class ReplicaFailed(Exception):
    """The training of another replica failed; `failure` is what that means for the trial."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Replicas(ABC):
    """What one replica does by itself, and what all do together. All of them call the same methods
    in the same order, and get the same numbers."""

    @abstractmethod
    def forward(self, model: nn.Module) -> Forward:
        """Returns the form of a model on its device in which it is trained, with the parameters
        and buffers of the first replica. The gradients of all replicas are equal."""

    @abstractmethod
    def loss(self, loss_of: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        """Returns the mean loss over the batch of a step. `loss_of` returns that over a part of
        it, in training mode."""

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Computes the gradients of a loss that `loss` has returned, or of a multiple of it."""

    @abstractmethod
    def agree(self, model: nn.Module) -> None:
        """Gives a model the buffers of the first replica, which may have updated them otherwise."""

    @abstractmethod
    def judged(
        self, batches: Iterable[Batch], judge: Callable[[Batch], Sequence[Tensor]]
    ) -> list[Tensor]:
        """Returns what `judge` returns for each batch, (N, D) for each of some models, as one
        tensor of doubles per model, in the order of the batches, on the CPU."""


@final
class OneReplica(Replicas):
    """The only replica of a model."""

    def forward(self, model: nn.Module) -> Forward:
        return model

    def loss(self, loss_of: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        return loss_of(batch)

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def agree(self, model: nn.Module) -> None:
        return

    def judged(
        self, batches: Iterable[Batch], judge: Callable[[Batch], Sequence[Tensor]]
    ) -> list[Tensor]:
        found = [judge(batch) for batch in batches]
        return [torch.cat(rows).cpu().double() for rows in zip(*found, strict=True)]
