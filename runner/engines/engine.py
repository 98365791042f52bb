"""Engine: plans trials into jobs, and builds a job's models. It does not train."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from runner.space import Space
from runner.trial import Job, Trial


class Engine(ABC):
    """One way to get from a sample to a model. `space` is what the model leaves open."""

    space: Space

    @abstractmethod
    def plan(self, trials: Sequence[Trial]) -> Iterable[Job]:
        """Jobs that together run all these trials, each trial in one job. Runs in the driver."""

    @staticmethod
    @abstractmethod
    def build(recipe: Mapping[str, Any]) -> Sequence[nn.Module]:
        """The models of a job, one per trial, with fresh weights. Runs in the worker, seeded."""

    @staticmethod
    @abstractmethod
    def source(recipe: Mapping[str, Any], index: int) -> str:
        """Python source of model `index` of a job; it defines `build() -> torch.nn.Module`."""
