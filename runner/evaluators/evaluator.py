"""Evaluator: trains and scores the models of a job. It does not place work."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, final

import torch
from torch import nn

from runner.data.data import SearchData, Split
from runner.evaluators.race import Prospects
from runner.fusion.program import Programs
from runner.trial import Gain, Metrics


@final
@dataclass(frozen=True)
class TrainingRun:
    """What a training run needs from outside. One seed and one `report` entry per model.

    `report([metrics, ...])` is called after each epoch with one mapping per model; an empty one
    says nothing new of its model. It gives the places of the models that are to end early, whose
    last metrics count, and raises `StopTraining` when all are; evaluators let that pass.
    """

    device: torch.device
    seeds: Sequence[int]
    report: Callable[[Sequence[Metrics]], Collection[int]]
    evaluators: Sequence["Evaluator"] = ()  # of each model, as its sample wants it; (): all alike
    programs: Sequence[Programs] = ()  # what the models do, where they may be trained as one
    tell: Callable[[Gain], None] = lambda gain: None  # is told what training them as one brought
    prospects: Prospects = field(default_factory=Prospects)  # of that, from what others brought


class StopTraining(Exception):
    """Raised by `report` when all trials were stopped on purpose: their last metrics count."""


class NotFinite(ArithmeticError):
    """A loss that is NaN or infinite; the trial stops at the step.

    `models` are the places in the list of models of those it happened to, and `reasons` what
    happened to each, where that is not the message. The others, if any, were trained to their end.
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
    """Made from its config alone, before any data is loaded; one is made for each trial.

    `fusible`: whether it can train several models as one. `shares`: the arguments that may differ
    between models which are trained so.
    """

    fusible: ClassVar[bool] = False
    shares: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: TrainingRun) -> None:
        """Train the models in place and report after each epoch; the last report is the result.

        Models arrive on the CPU, freshly built; they end on the run's device, with the weights the
        last report is about. What a model gets does not depend on the others in the list. Raises
        NotFinite, naming epoch and step, when no model is left whose losses are finite, or else
        after the last epoch.
        """

    @abstractmethod
    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        """Metrics of trained models on a split, one mapping per model, names without a prefix."""
