"""Regression: squared or Huber loss, mean errors, and explained variance."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from runner.data.data import TargetKind
from runner.errors import ConfigError
from runner.evaluators.recipe import Reports
from runner.evaluators.supervised import Supervised
from runner.trial import Metrics


@final
@dataclass(frozen=True, kw_only=True)
class Regression(Supervised):
    """An evaluator of models that return (N, outputs), or (N,) for one output. Metrics: `loss`,
    `mse`, `mae`, `r2`.

    `r2` is averaged over all outputs; a constant target counts as 0.
    """

    targets: ClassVar[TargetKind] = "numbers"
    reports: ClassVar[Reports] = {
        "train/loss": "min",
        "val/loss": "min",
        "val/mse": "min",
        "val/mae": "min",
        "val/r2": "max",
    }

    loss: Literal["mse", "huber"]  # huber: linear for errors above 1

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        outputs, targets = _columns(outputs), _columns(targets)
        if outputs.shape != targets.shape:
            raise ValueError(
                f"The model returned {list(outputs.shape)}; the targets are {list(targets.shape)}."
            )
        function = mse_loss if self.loss == "mse" else huber_loss
        return function(outputs, targets, reduction="none").mean(1)

    def check_outputs(self, outputs: Tensor, classes: int) -> None:
        count = _columns(outputs).shape[1]
        if count != classes:
            raise ConfigError(f"The model has {count} outputs, but data.classes is {classes}.")

    def judge(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([_columns(outputs), _columns(targets)], dim=1).flatten(1)

    def metrics(self, judged: Tensor) -> Metrics:
        outputs, targets = judged.chunk(2, dim=1)  # (N, outputs)
        errors = outputs - targets
        variance = targets.var(0, correction=0)
        explained = 1 - errors.square().mean(0) / variance
        return {
            "loss": float(self.losses(outputs, targets).mean()),
            "mse": float(errors.square().mean()),
            "mae": float(errors.abs().mean()),
            "r2": float(torch.where(variance > 0, explained, 0).mean()),
        }


def _columns(values: Tensor) -> Tensor:
    """Returns (N,) or (N, outputs) as (N, outputs)."""
    return values.view(len(values), -1)
