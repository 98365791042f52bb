"""The recipe of supervised training for one model: loss, metrics, optimizer, precision."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.data.data import Batch, Split
from runner.errors import ConfigError, require
from runner.evaluators.arguments import check_closure, check_optimizer, check_schedule, make_probe
from runner.evaluators.evaluator import Evaluator
from runner.evaluators.plain_optimizer import make_plain
from runner.evaluators.replicas import Forward, OneReplica, Replicas
from runner.goals import Direction
from runner.nn.equality import same_value
from runner.proxies.proxy import TrainingLoss
from runner.trial import Metrics

Reports = Mapping[str, Direction]  # metrics, and what is better
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}

MOST_LR = 1000


class Saving(TypedDict):
    """How often the state of a training is saved."""

    every: int  # epochs


# Their fused step is 2.5 to 3.9 times as fast as the default (one CPU thread, 20 to 60 small
# tensors). SGD's fails on parameters that receive their first gradient later than others.
FUSED = (torch.optim.Adam, torch.optim.AdamW)
RIVALS = {"fused", "foreach", "differentiable"}  # arguments that select a kind of step


@dataclass(frozen=True, kw_only=True)
class Recipe(Evaluator):
    """The training and scoring of one model on (input, target) pairs; `Supervised` adds the
    loop."""

    fusible: ClassVar[bool] = True
    divides: ClassVar[str] = "epochs"
    shares: ClassVar[tuple[str, ...]] = ("lr", "optimizer", "schedule", "clip_norm")

    epochs: int
    batch_size: int
    lr: float  # the peak, multiplied by the schedule
    optimizer: Callable[..., Optimizer]  # called with the parameters and `lr`
    schedule: Callable[[int, int], float]  # (step, total steps) -> multiplier
    clip_norm: float | None  # largest norm of the gradient; None: unlimited
    precision: Literal["fp32", "bf16", "fp16"]
    compile: bool  # with torch.compile
    channels_last: bool | Literal["auto"]  # memory format of images and convolutions
    seed: int  # of the order of examples and of augmentation
    checkpoint: Saving | None  # None: a trial that was interrupted starts again

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            require(value >= 1, f"evaluator.{name}", value, "at least 1")
        for name in ("lr", "clip_norm"):
            value = getattr(self, name)
            fits = value is None or 0 < value < math.inf
            require(fits, f"evaluator.{name}", value, "above 0 and finite")
        check_closure(getattr(self.optimizer, "func", self.optimizer))
        if self.checkpoint is not None:
            given: Any = self.checkpoint
            every = given.get("every") if isinstance(given, Mapping) and len(given) == 1 else None
            fits = type(every) is int and every >= 1
            rule = "null, or like {every: 5}, with a whole number of epochs, at least 1"
            require(fits, "evaluator.checkpoint", given, rule)

    @property
    def saves_every(self) -> int | None:
        return None if self.checkpoint is None else self.checkpoint["every"]

    def check(self) -> None:
        require(self.lr <= MOST_LR, "evaluator.lr", self.lr, f"above 0 and at most {MOST_LR}")
        check_optimizer(self.optimizer, self.lr)
        check_schedule(self.schedule)

    def check_devices(self, devices: int) -> None:
        if self.compile:
            raise ConfigError(
                f"training.devices_per_trial is {devices}, but evaluator.compile=true compiles the "
                "batch normalization of a model, which would see a part of each batch; use "
                "evaluator.compile=false."
            )
        if self.batch_size < devices:
            raise ConfigError(
                f"training.devices_per_trial is {devices}, but evaluator.batch_size is "
                f"{self.batch_size}, which leaves devices without an example."
            )

    def rehearse(self, make: Callable[[], nn.Module], batch: Batch, classes: int) -> None:
        model = make()
        inputs, targets = (part[: self.batch_size] for part in batch)
        weights = [p for p in model.parameters() if p.requires_grad]
        make_probe(self.optimizer, weights, self.lr)  # some take only matrices, for example
        noisy = self.augmented(inputs.clone(), torch.Generator().manual_seed(0))
        outputs = self._rehearsed(model.train(), noisy)
        self.check_outputs(outputs, classes)
        self.losses(outputs, targets).mean().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.judge(self._rehearsed(model.eval(), inputs.clone()), targets)

    def _rehearsed(self, model: nn.Module, inputs: Tensor) -> Tensor:
        # Autocast has no meta device.
        outputs = model(inputs) if inputs.is_meta else self.outputs(model, inputs)
        if not isinstance(outputs, Tensor):
            raise ConfigError(
                f"The model returns {type(outputs).__name__}; it must return a tensor."
            )
        return outputs

    def check_outputs(self, outputs: Tensor, classes: int) -> None:
        """Raises ConfigError if a model's outputs on a batch do not fit `data.classes`."""

    def training_loss(self) -> TrainingLoss:
        return self.losses

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the training loss of each example, (N,)."""

    @abstractmethod
    def judge(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the statistics of each example that `metrics` needs, (N, D)."""

    @abstractmethod
    def metrics(self, judged: Tensor) -> Metrics:
        """Returns the metrics of a split, including `loss`, from the statistics of all examples."""

    def has_loss_of(self, other: "Recipe") -> bool:
        """Returns whether two evaluators have the same loss: they have one class, and equal values
        of all fields that it adds to this one."""
        shared = {field.name for field in fields(Recipe)}
        names = [field.name for field in fields(self) if field.name not in shared]
        pairs = [(getattr(self, name), getattr(other, name, None)) for name in names]
        return type(self) is type(other) and all(same_value(*pair) for pair in pairs)

    @property
    def not_fused(self) -> str:
        """The reason why models cannot be fused; empty if they can."""
        if self.compile:
            return "evaluator.compile compiles each model separately"
        if self.precision == "fp16":
            return "evaluator.precision=fp16 scales the loss of each model separately"
        return ""

    def augmented(self, inputs: Tensor, rng: torch.Generator) -> Tensor:
        """Returns randomly augmented training inputs; `rng` is a CPU generator."""
        return inputs

    def is_static(self, split: Split, device: torch.device) -> bool:
        """Returns whether training examples are the same in every epoch."""
        if not split.fixed:
            return False
        inputs, _ = next(iter(split.batches(1, device)))
        return self.augmented(inputs, torch.Generator()) is inputs

    def wants_channels_last(self, model: nn.Module, device: torch.device) -> bool:
        """Returns whether convolutions should use the channels-last memory format.

        On one CPU thread, nets of 16 channels then train 0.9 to 1.2 times as fast on images of 8 x
        8, and nets of 64 channels 1.1 to 1.5 times; on images of 32 x 32, 1.1 to 1.9 times.
        """
        if self.channels_last != "auto":
            return self.channels_last
        pays = device.type == "cpu" or (device.type == "cuda" and self.precision != "fp32")
        return pays and any(isinstance(module, nn.Conv2d) for module in model.modules())

    def lr_at(self, step: int, total: int) -> float:
        """Returns the learning rate of a step."""
        return self.lr * self.schedule(step, total)

    def make_optimizer(self, model: nn.Module, device: torch.device) -> Optimizer:
        """Returns an optimizer of all trainable parameters, with a fused step if that is faster."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        make = self.optimizer
        fusable = isinstance(make, partial) and make.func in FUSED and not RIVALS & {*make.keywords}
        settings: dict[str, Any] = {"lr": self.lr}
        if fusable and device.type in ("cpu", "cuda"):
            settings["fused"] = True
        return (
            make(parameters, **settings)
            if self.compile
            else make_plain(make, parameters, **settings)
        )

    def outputs(self, forward: Forward, inputs: Tensor) -> Tensor:
        """Returns a model's outputs as float32, computed in the configured precision."""
        if self.precision == "fp32":
            return forward(inputs)
        with torch.autocast(inputs.device.type, HALF[self.precision]):
            return forward(inputs).to(torch.float32)

    def batch_loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Returns the mean training loss of a model on a batch."""
        inputs, targets = batch
        return self.losses(self.outputs(forward, inputs), targets).mean()

    def scoring_batches(self, split: Split, device: torch.device) -> Iterator[Batch]:
        """Returns the batches of a split, larger than in training: no activations are kept."""
        return split.batches(4 * self.batch_size, device)

    def scored(
        self,
        forward: Forward,
        split: Split,
        device: torch.device,
        replicas: Replicas | None = None,
    ) -> Metrics:
        """Returns the metrics on a split of a model in eval mode, or of another form of it.
        `replicas` share the work; None: there is one."""

        def outputs(inputs: Tensor) -> Sequence[Tensor]:
            return [self.outputs(forward, inputs.clone())]  # a first layer may work in place

        [metrics] = scores([self], outputs, split, device, replicas)
        return metrics


@torch.no_grad()
def scores(
    recipes: Sequence[Recipe],
    outputs: Callable[[Tensor], Sequence[Tensor]],
    split: Split,
    device: torch.device,
    replicas: Replicas | None = None,
) -> list[Metrics]:
    """Returns the metrics of several models on a split. `outputs` computes their outputs on a
    batch, one tensor per model; the batches are those of the first recipe."""

    def judge(batch: Batch) -> list[Tensor]:
        inputs, targets = batch
        pairs = zip(recipes, outputs(inputs), strict=True)
        return [recipe.judge(each, targets) for recipe, each in pairs]

    batches = recipes[0].scoring_batches(split, device)
    judged = (replicas or OneReplica()).judged(batches, judge)
    return [recipe.metrics(rows) for recipe, rows in zip(recipes, judged, strict=True)]
