"""Member: one model of a group, how it is trained, and how far it is."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from runner.data.data import Batch, Split
from runner.evaluators.evaluator import NotFinite
from runner.evaluators.recipe import Forward, Recipe
from runner.trial import Metrics


@final
class Member:
    """One model: how it is trained, and how far it is."""

    def __init__(self, model: nn.Module, pieces: Recipe, seed: int, device: torch.device) -> None:
        self.model = model.to(device)
        self.pieces = pieces
        self.seed = seed
        self.device = device
        self.lost: NotFinite | None = None  # why it dropped out
        self.stopped = False  # whether it was ended early, on purpose
        if pieces.wants_channels_last(model, device):
            lay_out(model, torch.channels_last)
        self.forward: Forward = torch.compile(model) if pieces.compile else model
        self.optimizer = pieces.make_optimizer(model, device)
        self._scaler = torch.amp.GradScaler(device.type, enabled=pieces.precision == "fp16")
        self.losses = Losses(0, device)

    @property
    def alive(self) -> bool:
        """Whether it is still trained."""
        return self.lost is None and not self.stopped

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Drop out when a loss is not finite."""
        try:
            yield
        except NotFinite as error:
            self.lost = error

    def begin(self, epoch: int) -> None:
        """Get ready for an epoch."""
        self.losses = Losses(epoch, self.device)
        self.model.train()

    def step(self, batch: Batch, at: int, total: int) -> None:
        """Train on a batch: step `at` of `total`. Raises NotFinite."""
        pieces = self.pieces
        loss = pieces.batch_loss(self.forward, batch)
        self.losses.add(loss, len(batch[1]))
        for group in self.optimizer.param_groups:
            group["lr"] = pieces.lr_at(at, total)
        self.optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if pieces.clip_norm is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), pieces.clip_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def metrics(self, split: Split, epoch: int) -> Metrics:
        """What an epoch brought. Raises NotFinite."""
        self.model.eval()
        return self.report(self.pieces.scored(self.forward, split, self.device), epoch)

    def report(self, scores: Metrics, epoch: int) -> Metrics:
        """What an epoch brought, with the metrics of the validation split. Raises NotFinite."""
        train_loss = self.losses.mean()
        if not math.isfinite(scores["loss"]):
            raise NotFinite(f"Validation loss is {scores['loss']} after epoch {epoch + 1}.")
        return {"train/loss": train_loss} | {f"val/{name}": v for name, v in scores.items()}


@final
class Losses:
    """The losses of an epoch so far. Raises NotFinite, naming the step, for one that is not.

    On a CPU it does so at that step. On an accelerator, where looking at a number waits for the
    device, it looks every 32 steps.
    """

    def __init__(self, epoch: int, device: torch.device) -> None:
        self._epoch = epoch
        self._bunch = 1 if device.type == "cpu" else 32
        self._unseen: list[Tensor] = []
        self._sizes: list[int] = []
        self._seen: list[float] = []

    def add(self, loss: Tensor, size: int) -> None:
        """Note the mean loss of a batch of a size."""
        self._unseen.append(loss.detach())
        self._sizes.append(size)
        if len(self._unseen) == self._bunch:
            self._look()

    def see(self, loss: float, size: int) -> None:
        """The same, for one that was looked at already."""
        self._sizes.append(size)
        self._judge(loss)

    def mean(self) -> float:
        """The mean loss of all examples."""
        self._look()
        total = sum(loss * size for loss, size in zip(self._seen, self._sizes, strict=True))
        return total / sum(self._sizes)

    def _look(self) -> None:
        for loss in torch.stack(self._unseen).tolist() if self._unseen else []:
            self._judge(loss)
        self._unseen.clear()

    def _judge(self, loss: float) -> None:
        self._seen.append(loss)
        if not math.isfinite(loss):
            step = len(self._seen)
            raise NotFinite(f"Loss is {loss} in epoch {self._epoch + 1}, step {step}.")


def lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Lay out the weights of all convolutions; their inputs follow by themselves."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=memory_format)  # type: ignore[call-overload]
