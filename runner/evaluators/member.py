"""A member of a group: one model, its recipe, and the state of its training."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

from runner.data.data import Batch, Split
from runner.evaluators.evaluator import NotFinite
from runner.evaluators.recipe import Recipe
from runner.evaluators.replicas import Forward, Replicas
from runner.trial import Metrics


@final
class Member:
    """One model, its recipe, and the state of its training."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        replicas: Replicas,
    ) -> None:
        self.model = model.to(device)
        self.recipe = recipe
        self.seed = seed
        self.device = device
        self.replicas = replicas
        self.lost: NotFinite | None = None  # why it dropped out
        self.stopped = False  # whether it was stopped early, on purpose
        if recipe.wants_channels_last(model, device):
            set_memory_format(model, torch.channels_last)
        self.forward: Forward = torch.compile(model) if recipe.compile else replicas.forward(model)
        self.optimizer = recipe.make_optimizer(model, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self.losses = Losses(0, device)

    @property
    def alive(self) -> bool:
        """True while it is in training."""
        return self.lost is None and not self.stopped

    @contextmanager
    def dropping_out(self) -> Iterator[None]:
        """Lets the member drop out if the block raises NotFinite."""
        try:
            yield
        except NotFinite as error:
            self.lost = error

    def begin(self, epoch: int) -> None:
        """Prepares for an epoch."""
        self.losses = Losses(epoch, self.device)
        self.model.train()

    def step(self, batch: Batch, at: int, total: int) -> None:
        """Trains on a batch: step `at` of `total`. Raises NotFinite."""
        recipe = self.recipe
        loss = self.replicas.loss(partial(recipe.batch_loss, self.forward), batch)
        self.losses.add(loss, len(batch[1]))
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr_at(at, total)
        self.optimizer.zero_grad()
        self.replicas.backward(self.scaler.scale(loss))
        if recipe.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def metrics(self, split: Split, epoch: int) -> Metrics:
        """Returns the metrics of an epoch. Raises NotFinite."""
        self.model.eval()
        self.replicas.agree(self.model)
        scores = self.recipe.scored(self.forward, split, self.device, self.replicas)
        return self.report(scores, epoch)

    def report(self, scores: Metrics, epoch: int) -> Metrics:
        """Returns the metrics of an epoch, given those of validation. Raises NotFinite."""
        train_loss = self.losses.mean()
        if not math.isfinite(scores["loss"]):
            raise NotFinite(f"Validation loss is {scores['loss']} after epoch {epoch + 1}.")
        return {"train/loss": train_loss} | {f"val/{name}": v for name, v in scores.items()}


@final
class Losses:
    """The losses of an epoch so far. Raises NotFinite, naming the step, for a non-finite loss.

    On a CPU it raises at that step. On an accelerator, where reading a number synchronizes the
    device, it checks every 32 steps.
    """

    def __init__(self, epoch: int, device: torch.device) -> None:
        self._epoch = epoch
        self._bunch = 1 if device.type == "cpu" else 32
        self._unseen: list[Tensor] = []
        self._sizes: list[int] = []
        self._seen: list[float] = []

    def add(self, loss: Tensor | float, size: int) -> None:
        """Records the mean loss of a batch of `size` examples; a float is checked at once."""
        self._sizes.append(size)
        if isinstance(loss, float):
            self._check_finite(loss)
            return
        self._unseen.append(loss.detach())
        if len(self._unseen) == self._bunch:
            self._look()

    def mean(self) -> float:
        """Returns the mean loss over all examples."""
        self._look()
        total = sum(loss * size for loss, size in zip(self._seen, self._sizes, strict=True))
        return total / sum(self._sizes)

    def _look(self) -> None:
        for loss in torch.stack(self._unseen).tolist() if self._unseen else []:
            self._check_finite(loss)
        self._unseen.clear()

    def _check_finite(self, loss: float) -> None:
        self._seen.append(loss)
        if not math.isfinite(loss):
            step = len(self._seen)
            raise NotFinite(f"Loss is {loss} in epoch {self._epoch + 1}, step {step}.")


def set_memory_format(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Sets the memory format of all convolution weights; their inputs follow."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=memory_format)  # type: ignore[call-overload]
