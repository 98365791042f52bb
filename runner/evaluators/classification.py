"""Classification: cross-entropy loss and accuracy."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from runner.data.data import TargetKind
from runner.errors import ConfigError, require
from runner.evaluators.recipe import Reports
from runner.evaluators.supervised import Supervised
from runner.trial import Metrics

log = logging.getLogger(__name__)
MANY = 256  # rows from which a softmax over the first dimension is faster; 3x for 1,024 rows


@final
@dataclass(frozen=True, kw_only=True)
class Classification(Supervised):
    """An evaluator of models that return logits (N, classes). Metrics: `accuracy`, and `loss`
    without smoothing."""

    shares: ClassVar[tuple[str, ...]] = (*Supervised.shares, "label_smoothing")
    targets: ClassVar[TargetKind] = "classes"
    reports: ClassVar[Reports] = {"train/loss": "min", "val/loss": "min", "val/accuracy": "max"}

    label_smoothing: float
    augment: Callable[[Tensor, torch.Generator], Tensor] | None  # None: no augmentation

    def __post_init__(self) -> None:
        super().__post_init__()
        smoothing = self.label_smoothing
        rule = "at least 0 and below 1"
        require(0 <= smoothing < 1, "evaluator.label_smoothing", smoothing, rule)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.ndim != 2:
            shape = list(outputs.shape)
            raise ValueError(f"The model returned {shape}; classification needs (N, classes).")
        smoothing = self.label_smoothing
        if len(outputs) < MANY:
            return cross_entropy(outputs, targets, reduction="none", label_smoothing=smoothing)
        scores = outputs.t().unsqueeze(0)  # (1, classes, N)
        targets = targets.unsqueeze(0)
        losses = cross_entropy(scores, targets, reduction="none", label_smoothing=smoothing)
        return losses.squeeze(0)

    def check_outputs(self, outputs: Tensor, classes: int) -> None:
        count = outputs.shape[-1]
        if outputs.ndim == 2 and count < classes:
            raise ConfigError(
                f"The model has {count} outputs, too few for the classes of the data: "
                f"data.classes is {classes}."
            )
        if outputs.ndim == 2 and count > classes:
            log.warning(
                "The model has %d outputs, more than the data has classes: data.classes is %d.",
                count,
                classes,
            )

    def judge(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = cross_entropy(outputs, targets, reduction="none")
        return torch.stack([losses, (outputs.argmax(1) == targets).float()], dim=1)

    def metrics(self, judged: Tensor) -> Metrics:
        loss, accuracy = judged.mean(0).tolist()
        return {"loss": loss, "accuracy": accuracy}

    def augmented(self, inputs: Tensor, rng: torch.Generator) -> Tensor:
        return inputs if self.augment is None else self.augment(inputs, rng)
