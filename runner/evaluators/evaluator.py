"""The contract of evaluators, which train and score the models of a job on a given device."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, final

import torch
from torch import nn

from runner.checkpoints import TrainingState
from runner.data.data import Batch, SearchData, Split, TargetKind
from runner.errors import ConfigError
from runner.evaluators.race import Prospects
from runner.evaluators.replicas import OneReplica, Replicas
from runner.evaluators.running_trial import RunningTrial
from runner.fusion.program.program import Programs
from runner.goals import Direction
from runner.proxies.proxy import TrainingLoss
from runner.trial import Gain, Metrics


@final
@dataclass(frozen=True)
class Span:
    """The part of a training that a run covers: the epochs from `begin` up to, not including,
    `end`. Everything that depends on the length of the training, such as the learning rate, is as
    in a run of all epochs."""

    begin: int
    end: int
    before: Sequence[TrainingState] = ()  # of each model after `begin` epochs; (): as built
    # Called after the last epoch with the index of each model that is still in training, and its
    # state; None: nothing goes on from here.
    after: Callable[[int, TrainingState], None] | None = None
    every: int | None = None  # also called after so many epochs, each time


@final
@dataclass(frozen=True)
class TrainingRun:
    """The context of a training run, with one seed and one `report` entry per model.

    `report([metrics, ...])` is called after each epoch with one mapping per model; an empty mapping
    means no news. It returns the indices of the models to stop early, whose last metrics count, and
    raises `StopTraining` if all models are to stop; evaluators must not catch it.
    """

    device: torch.device
    seeds: Sequence[int]
    report: Callable[[Sequence[Metrics]], Collection[int]]
    evaluators: Sequence["Evaluator"] = ()  # one per model, configured by its sample; (): all equal
    programs: Sequence[Programs] = ()  # of the models, for fusion; (): unknown
    tell: Callable[[Gain], None] = lambda gain: None  # receives the gain of fusion
    prospects: Prospects = field(default_factory=Prospects)  # expected gain, from earlier groups
    span: Span | None = None  # the part to train, if `Evaluator.divides`; None: all of it
    trials: Sequence[RunningTrial] = ()  # one per model; (): they belong to no run
    replicas: Replicas = field(default_factory=OneReplica)  # of each model, see `check_devices`
    # Told that a model goes on with a training, and for how many seconds that had run.
    went_on: Callable[[int, float], None] = lambda place, seconds: None


class StopTraining(Exception):
    """Raised by `report` if all trials were stopped on purpose; their last metrics count."""


class NotFinite(ArithmeticError):
    """A loss is NaN or infinite; the trial stops at that step.

    `models` are the indices of the affected models, and `reasons` their messages if they differ
    from that of the error. Any other models were trained to the end.
    """

    def __init__(
        self,
        message: str,
        models: Sequence[int] = (0,),
        reasons: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.models = models
        self.reasons = reasons


class Evaluator(ABC):
    """A way to train and score models. Built from its config alone, before data is loaded, once per
    trial.

    `fusible` is whether it can train several models as one, and `shares` lists the arguments that
    may differ between such models. `targets` is the kind of targets it needs (None: any), and
    `reports` names the metrics that it reports in a search, each with the direction in which it is
    better; None: unknown. `divides` is the argument that counts the epochs of a training of which
    it can run a part, see `Span`; "": it trains from the beginning to the end. `trains` is whether
    it trains models at all: one that looks their results up is built once per worker, leaves no
    weights worth keeping or exporting, and no figures of its models are measured. `notice` is a
    message for the user at the end of a search, if any.
    """

    trains: ClassVar[bool] = True
    fusible: ClassVar[bool] = False
    shares: ClassVar[tuple[str, ...]] = ()
    targets: ClassVar[TargetKind | None] = None
    divides: ClassVar[str] = ""
    reports: ClassVar[Mapping[str, Direction] | None] = None

    @property
    def notice(self) -> str:
        return ""

    @property
    def saves_every(self) -> int | None:
        """The number of epochs after which the state of a training is saved, each time, so that a
        trial that was interrupted goes on from there; None: it starts again. Of evaluators that
        `divides`."""
        return None

    def reported(self) -> Mapping[str, Direction] | None:
        """Returns the metrics that it reports as configured, as `reports` names them."""
        return self.reports

    def check(self) -> None:  # noqa: B027
        """Raises ConfigError for arguments with which no model can be trained. Called before a
        search, also for each value that it may choose."""

    def check_devices(self, devices: int) -> None:
        """Raises ConfigError unless it can train one model on so many devices, by the `replicas` of
        a run. Called before a search on several, also for each value that it may choose."""
        raise ConfigError(
            f"training.devices_per_trial is {devices}, but {type(self).__name__} trains a model on "
            "one device; evaluator=classification and regression train it on several."
        )

    def training_loss(self) -> TrainingLoss | None:
        """Returns the training loss of outputs, given the targets, as one number per example; None
        if only `evaluate` knows it."""
        return None

    def rehearse(
        self, make: Callable[[], nn.Module], batch: Batch, classes: int
    ) -> Collection[str] | None:
        """Runs a model on a few examples, as `evaluate` would. `make` builds it, on the device of
        the batch, for this purpose alone; `classes` is the number of classes, or of outputs.

        Called before a search, with the default model. Raises what training it would raise. Returns
        the names of the metrics that it would report, if only this shows them; None otherwise.
        """
        return None

    @abstractmethod
    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: TrainingRun) -> None:
        """Trains the models in place and reports after each epoch; the last report is the result.

        Models arrive on the CPU, freshly built; they end on the run's device, with the weights of
        the last report. A model's result does not depend on the other models. Raises NotFinite,
        naming epoch and step, as soon as no model with finite losses is left, or else after the
        last epoch.
        """

    @abstractmethod
    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        """Returns the metrics of trained models on a split, without prefixes, one mapping each."""
