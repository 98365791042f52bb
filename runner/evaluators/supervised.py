"""Supervised training, in pieces: data, model, optimizer, for epoch, for batch, metric."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.data.data import SearchData, Split
from runner.errors import ConfigError
from runner.evaluators.evaluator import Evaluator, NotFinite, Run
from runner.evaluators.seeds import seed_epoch
from runner.trial import Metrics

Forward = Callable[[Tensor], Tensor]  # a model, or what torch.compile made of it
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}

# Their fused step is 2.5 to 3.9 times as fast as the default one (one CPU thread, 20 to 60 small
# tensors). SGD's breaks on parameters whose first gradient comes later than that of others.
FUSED = (torch.optim.Adam, torch.optim.AdamW)
RIVALS = {"fused", "foreach", "differentiable"}  # arguments that say what kind of step is wanted


@dataclass(frozen=True, kw_only=True)
class Supervised(Evaluator):
    """Trains on (input, target) pairs. A subclass says what the loss and the metrics are.

    All random numbers of a model come from its seed and the epoch: no model of a job changes what
    another one gets.
    """

    epochs: int
    batch_size: int
    lr: float  # the highest; the schedule multiplies it
    optimizer: Callable[..., Optimizer]  # called with the parameters and `lr`
    schedule: Callable[[int, int], float]  # (step, total steps) -> multiplier
    clip_norm: float | None  # the gradient's largest norm; None: any
    precision: Literal["fp32", "bf16", "fp16"]
    compile: bool  # with torch.compile
    channels_last: bool | Literal["auto"]  # memory format of images and convolutions

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                value = getattr(self, name)
                raise ConfigError(f"evaluator.{name} is {value}; it must be at least 1.")
        for name in ("lr", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"evaluator.{name} is {value}; it must be above 0 and finite.")

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss of each example, (N,)."""

    @abstractmethod
    def judge(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What the metrics need to know of each example, (N, D)."""

    @abstractmethod
    def metrics(self, judged: Tensor) -> Metrics:
        """The metrics of a split, among them `loss`, from what `judge` said of all of it."""

    def augmented(self, inputs: Tensor, rng: torch.Generator) -> Tensor:
        """Training inputs with random changes; `rng` is a CPU generator."""
        return inputs

    @final
    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: Run) -> None:
        """Train the models side by side, an epoch of each in turn.

        A model whose loss is not finite drops out, and NotFinite is raised when the others are
        done. They end on the run's device.
        """
        trainings = [
            self._train(model, seed, data, run.device)
            for model, seed in zip(models, run.seeds, strict=True)
        ]
        lost: dict[int, NotFinite] = {}
        try:
            for _ in range(self.epochs):
                metrics = [_next(training, i, lost) for i, training in enumerate(trainings)]
                if len(lost) == len(models):
                    break
                run.report(metrics)
        finally:
            for model in models:
                _lay_out(model, torch.contiguous_format)
        if lost:
            raise NotFinite("; ".join(map(str, lost.values())), tuple(lost))

    @final
    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        return [self._score(model.to(device), model, split, device) for model in models]

    def _train(
        self, model: nn.Module, seed: int, data: SearchData, device: torch.device
    ) -> Iterator[Metrics]:
        """Train one model, and yield its metrics after each epoch."""
        model.to(device)
        if self._wants_channels_last(model, device):
            _lay_out(model, torch.channels_last)
        forward: Forward = torch.compile(model) if self.compile else model
        optimizer = self._make_optimizer(model, device)
        scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        steps = steps_per_epoch(len(data.train), self.batch_size)
        for epoch in range(self.epochs):
            order, noise = seed_epoch(seed, epoch)
            batches = data.train.batches(self.batch_size, device, order)
            losses = Losses(epoch, device)
            model.train()
            for step, (inputs, targets) in enumerate(islice(batches, steps)):
                outputs = self._outputs(forward, self.augmented(inputs, noise))
                loss = self.losses(outputs, targets).mean()
                losses.add(loss, len(targets))
                lr = self.lr * self.schedule(epoch * steps + step, self.epochs * steps)
                self._update(model, loss, optimizer, scaler, lr)
            train_loss = losses.mean()
            scores = self._score(model, forward, data.validation, device)
            if not math.isfinite(scores["loss"]):
                raise NotFinite(f"Validation loss is {scores['loss']} after epoch {epoch + 1}.")
            yield {"train/loss": train_loss} | {f"val/{name}": v for name, v in scores.items()}

    def _wants_channels_last(self, model: nn.Module, device: torch.device) -> bool:
        """Whether convolutions compute with the channels last.

        On one CPU thread nets with 16 channels then train 0.9 to 1.2 times as fast on images of
        8 x 8, with 64 channels 1.1 to 1.5 times; on images of 32 x 32, 1.1 to 1.9 times.
        """
        if self.channels_last != "auto":
            return self.channels_last
        pays = device.type == "cpu" or (device.type == "cuda" and self.precision != "fp32")
        return pays and any(isinstance(module, nn.Conv2d) for module in model.modules())

    def _make_optimizer(self, model: nn.Module, device: torch.device) -> Optimizer:
        """The optimizer of all parameters that are not frozen, with a fused step if it pays."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        make = self.optimizer
        fusable = isinstance(make, partial) and make.func in FUSED and not RIVALS & {*make.keywords}
        if fusable and device.type in ("cpu", "cuda"):
            return make(parameters, lr=self.lr, fused=True)
        return make(parameters, lr=self.lr)

    def _outputs(self, forward: Forward, inputs: Tensor) -> Tensor:
        """What a model answers, computed in the precision that was asked for, as floats."""
        if self.precision == "fp32":
            return forward(inputs)
        with torch.autocast(inputs.device.type, HALF[self.precision]):
            return forward(inputs).to(torch.float32)

    def _update(
        self,
        model: nn.Module,
        loss: Tensor,
        optimizer: Optimizer,
        scaler: torch.amp.GradScaler,
        lr: float,
    ) -> None:
        """One step of the optimizer."""
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.clip_norm is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
        scaler.step(optimizer)
        scaler.update()

    def _score(
        self, model: nn.Module, forward: Forward, split: Split, device: torch.device
    ) -> Metrics:
        model.eval()
        with torch.no_grad():
            batches = split.batches(4 * self.batch_size, device)  # no activations are kept
            judged = [self.judge(self._outputs(forward, x), y) for x, y in batches]
        return self.metrics(torch.cat(judged).cpu().double())


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

    def mean(self) -> float:
        """The mean loss of all examples."""
        self._look()
        total = sum(loss * size for loss, size in zip(self._seen, self._sizes, strict=True))
        return total / sum(self._sizes)

    def _look(self) -> None:
        for loss in torch.stack(self._unseen).tolist() if self._unseen else []:
            self._seen.append(loss)
            if not math.isfinite(loss):
                step = len(self._seen)
                raise NotFinite(f"Loss is {loss} in epoch {self._epoch + 1}, step {step}.")
        self._unseen.clear()


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """How many training batches there are; a last one of a single example is left out, which
    batch normalization could not take."""
    whole, rest = divmod(examples, batch_size)
    return max(1, whole + (rest > 1))


def _lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Lay out the weights of all convolutions; their inputs follow by themselves."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=memory_format)  # type: ignore[call-overload]


def _next(training: Iterator[Metrics], index: int, lost: dict[int, NotFinite]) -> Metrics:
    """The metrics of a model's next epoch; nothing, noted in `lost`, once it is not finite."""
    try:
        return {} if index in lost else next(training)
    except NotFinite as error:
        lost[index] = error
        return {}
