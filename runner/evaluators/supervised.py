"""Supervised training, in pieces: data, model, optimizer, for epoch, for batch, metric."""

import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.data.data import SearchData, Split
from runner.errors import ConfigError
from runner.evaluators.evaluator import Evaluator, NotFinite, Run
from runner.evaluators.group import Group
from runner.evaluators.member import Forward, Member, lay_out
from runner.evaluators.seeds import seed_data
from runner.nn.equality import same_value
from runner.trial import Metrics

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}

# Their fused step is 2.5 to 3.9 times as fast as the default one (one CPU thread, 20 to 60 small
# tensors). SGD's breaks on parameters whose first gradient comes later than that of others.
FUSED = (torch.optim.Adam, torch.optim.AdamW)
RIVALS = {"fused", "foreach", "differentiable"}  # arguments that say what kind of step is wanted


@dataclass(frozen=True, kw_only=True)
class Supervised(Evaluator):
    """Trains on (input, target) pairs. A subclass says what the loss and the metrics are.

    The random numbers of a model come from its own seed and the epoch, those of the data from
    `seed` and the epoch: no model of a job changes what another one gets, and all models see the
    same examples in the same order.
    """

    fusible: ClassVar[bool] = True
    shares: ClassVar[tuple[str, ...]] = ("lr", "optimizer", "schedule", "clip_norm")

    epochs: int
    batch_size: int
    lr: float  # the highest; the schedule multiplies it
    optimizer: Callable[..., Optimizer]  # called with the parameters and `lr`
    schedule: Callable[[int, int], float]  # (step, total steps) -> multiplier
    clip_norm: float | None  # the gradient's largest norm; None: any
    precision: Literal["fp32", "bf16", "fp16"]
    compile: bool  # with torch.compile
    channels_last: bool | Literal["auto"]  # memory format of images and convolutions
    seed: int  # of the order of the examples and of augmentation

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                value = getattr(self, name)
                raise ConfigError(f"evaluator.{name} is {value}; it must be at least 1.")
        for name in ("lr", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"evaluator.{name} is {value}; it must be above 0 and finite.")
        _check_optimizer(getattr(self.optimizer, "func", self.optimizer))

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss of each example, (N,)."""

    @abstractmethod
    def judge(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What the metrics need to know of each example, (N, D)."""

    @abstractmethod
    def metrics(self, judged: Tensor) -> Metrics:
        """The metrics of a split, among them `loss`, from what `judge` said of all of it."""

    def has_loss_of(self, other: "Supervised") -> bool:
        """Whether the loss of this very evaluator is that of another one: they are of one class,
        and what it adds to this one is the same."""
        shared = {field.name for field in fields(Supervised)}
        names = [field.name for field in fields(self) if field.name not in shared]
        pairs = [(getattr(self, name), getattr(other, name, None)) for name in names]
        return type(self) is type(other) and all(same_value(*pair) for pair in pairs)

    @property
    def not_fused(self) -> str:
        """Why models cannot be trained as one; empty where they can."""
        if self.compile:
            return "evaluator.compile compiles each model by itself"
        if self.precision == "fp16":
            return "evaluator.precision=fp16 scales the loss of each model by itself"
        return ""

    def augmented(self, inputs: Tensor, rng: torch.Generator) -> Tensor:
        """Training inputs with random changes; `rng` is a CPU generator."""
        return inputs

    @final
    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: Run) -> None:
        """Train the models side by side, all on the same batches.

        A model whose loss is not finite drops out, and NotFinite is raised when the others are
        done. They end on the run's device.
        """
        pieces: Any = run.evaluators or [self] * len(models)
        members = [
            Member(model, own, seed, run.device)
            for model, own, seed in zip(models, pieces, run.seeds, strict=True)
        ]
        group = Group(members, run.programs, run.prospects)
        try:
            for epoch in range(self.epochs):
                metrics = self._epoch(group, data, epoch, run.device)
                if not group.alive:
                    break
                group.stop(run.report(metrics))
        finally:
            gain = group.end()
            for model in models:
                lay_out(model, torch.contiguous_format)
        run.tell(gain)
        if lost := group.lost:
            reasons = {place: str(error) for place, error in lost.items()}
            raise NotFinite("; ".join(reasons.values()), tuple(lost), reasons)

    def _epoch(
        self, group: Group, data: SearchData, epoch: int, device: torch.device
    ) -> Sequence[Metrics]:
        """Train a group for an epoch; what it brought to each member."""
        order, noise = seed_data(self.seed, epoch)
        group.begin(epoch)
        keeps = epoch > 0 and group.is_one and self.still(data.train, device)
        features = group.features(data) if keeps else None
        train, validation = (features or data).train, (features or data).validation
        batches = train.batches(self.batch_size, device, order)
        steps = steps_per_epoch(len(train), self.batch_size)
        for step, (inputs, targets) in enumerate(islice(batches, steps)):
            batch = inputs if features else self.augmented(inputs, noise), targets
            group.step(batch, epoch * steps + step, self.epochs * steps)
            if not group.alive:
                break
        return group.metrics(validation, epoch)

    def still(self, split: Split, device: torch.device) -> bool:
        """Whether training examples are the same in every epoch."""
        if not split.fixed:
            return False
        inputs, _ = next(iter(split.batches(1, device)))
        return self.augmented(inputs, torch.Generator()) is inputs

    @final
    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        return [self.scored(model.to(device), split, device) for model in models]

    def wants_channels_last(self, model: nn.Module, device: torch.device) -> bool:
        """Whether convolutions compute with the channels last.

        On one CPU thread nets with 16 channels then train 0.9 to 1.2 times as fast on images of
        8 x 8, with 64 channels 1.1 to 1.5 times; on images of 32 x 32, 1.1 to 1.9 times.
        """
        if self.channels_last != "auto":
            return self.channels_last
        pays = device.type == "cpu" or (device.type == "cuda" and self.precision != "fp32")
        return pays and any(isinstance(module, nn.Conv2d) for module in model.modules())

    def lr_at(self, step: int, total: int) -> float:
        """The learning rate of a step."""
        return self.lr * self.schedule(step, total)

    def make_optimizer(self, model: nn.Module, device: torch.device) -> Optimizer:
        """The optimizer of all parameters that are not frozen, with a fused step if it pays."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        make = self.optimizer
        fusable = isinstance(make, partial) and make.func in FUSED and not RIVALS & {*make.keywords}
        if fusable and device.type in ("cpu", "cuda"):
            return make(parameters, lr=self.lr, fused=True)
        return make(parameters, lr=self.lr)

    def outputs(self, forward: Forward, inputs: Tensor) -> Tensor:
        """What a model answers, computed in the precision that was asked for, as floats."""
        if self.precision == "fp32":
            return forward(inputs)
        with torch.autocast(inputs.device.type, HALF[self.precision]):
            return forward(inputs).to(torch.float32)

    def scored(self, model: nn.Module, split: Split, device: torch.device) -> Metrics:
        """Metrics of a model on a split; it is left in eval mode."""
        model.eval()
        return self.scored_by(model, split, device)

    def scored_by(self, forward: Forward, split: Split, device: torch.device) -> Metrics:
        """Metrics of what a model in eval mode, or what stands for it, answers on a split."""
        with torch.no_grad():
            batches = split.batches(4 * self.batch_size, device)  # no activations are kept
            pairs = ((x.clone(), y) for x, y in batches)  # a first layer may work in place
            judged = [self.judge(self.outputs(forward, x), y) for x, y in pairs]
        return self.metrics(torch.cat(judged).cpu().double())


def _check_optimizer(kind: Any) -> None:
    """Raises ConfigError for a class of optimizers that step only with a closure."""
    step = getattr(kind, "step", None)
    closure = inspect.signature(step).parameters.get("closure") if step is not None else None
    if closure is not None and closure.default is closure.empty:
        raise ConfigError(
            f"evaluator.optimizer is {kind.__name__}, whose steps want a function that computes "
            "the loss again. Take another one, or train with evaluator=function."
        )


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """How many training batches there are; a last one of a single example is left out, which
    batch normalization could not take."""
    whole, rest = divmod(examples, batch_size)
    return max(1, whole + (rest > 1))
