"""Engine: plans trials into jobs, and builds a job's models. It does not train."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import nn

from runner.config.instantiate import build, locate, signature
from runner.config.mutator_entries import Places
from runner.config.settings import Settings
from runner.engines.inheritance import BaseModels
from runner.errors import ConfigError
from runner.fusion.program import Programs
from runner.graph.ir.graph import Graph
from runner.space.sample import Sample, sample_key
from runner.space.space import Space
from runner.trial import Job, Metrics, Trial


@final
@dataclass(frozen=True)
class ModelSource:
    """Python source of a model; it defines `build() -> torch.nn.Module`. `constants` is the file
    of the tensors it needs (`runner.graph.codegen.load.CONSTANTS`), None when it needs none."""

    text: str
    constants: bytes | None = None


class Engine(ABC):
    """One way to get from a sample to a model. `space` is what is left open; `group` is how many
    trials there may be in a job; `notice` is what a user should know before a search, if
    anything; `inherits` is whether models start from the weights of others."""

    space: Space
    group: int = 1
    notice: str = ""
    inherits: bool = False

    def key(self, sample: Sample) -> str:
        """A text that is equal for samples that mean the same trial.

        Asked once for each proposal, before it is planned. Raises Refused for a sample whose
        model cannot be: it is recorded as refused, and another one is drawn.
        """
        return sample_key(sample)

    def graph(self, sample: Sample) -> Graph | None:
        """The graph of a sample's model; None when this engine makes none."""
        return None

    def observe(self, trial: Trial) -> None:  # noqa: B027
        """Called as `Strategy.observe` is: when a trial was recorded and when it ended, on resume
        again. A trial is planned only when those that ended before it was proposed were observed.
        """

    def places(self) -> Sequence[Places]:
        """Where the mutators of the space work, in their order; empty where there are none."""
        return ()

    @abstractmethod
    def plan(self, trials: Sequence[Trial], jobs: int = 1) -> Iterable[Job]:
        """Jobs that together run all these trials, each trial in one job; if it can be, at least
        as many as `jobs`. Runs in the driver."""

    @staticmethod
    @abstractmethod
    def build(recipe: Mapping[str, Any], folder: Path | None = None) -> nn.Module:
        """The model of a trial, with fresh weights. Runs in the worker, seeded.

        With the run's folder, what the engine wrote for a trial to be read goes to its trial's.
        """

    @staticmethod
    def inherit(
        recipe: Mapping[str, Any], model: nn.Module, folder: Path, bases: BaseModels
    ) -> Metrics:
        """Copies the weights that the model of a recipe inherits into it, and returns what goes to
        the metrics of its trial.

        Runs in the worker, once a model to be trained is built. `folder` is the run's, where
        trained trials left their weights; `bases` are the base models that the worker has built.
        """
        return {}

    @staticmethod
    def programs(recipe: Mapping[str, Any]) -> Programs | None:
        """What the model of a recipe does, for it to be trained as one with others; None where
        that is not known. Runs in the worker."""
        return None

    def explain(self) -> str:
        """What a job of several trials does, for a reader; empty where there are none."""
        return ""

    @abstractmethod
    def source(self, trial: Trial, *, standalone: bool = False) -> ModelSource:
        """The model of a trial as source. A standalone one imports nothing but torch; ConfigError
        where that cannot be."""


def make(settings: Settings) -> Engine:
    """The engine that a config describes, over the config's space."""
    given = {
        "space": settings.model,
        "mutators": settings.mutators,
        "input": settings.input,
        "weights": settings.weights,
        "trust": settings.trust,
        "evaluator": settings.evaluator,
        "data": settings.data,
    }
    wanted = signature(locate(settings.engine["_target_"], settings.trust, "engine")) or given
    if settings.weights is not None and "weights" not in wanted:
        raise ConfigError(
            f"space.weights is {settings.weights!r}, which {settings.engine['_target_']} knows "
            "nothing of; run with engine=base."
        )
    given = {name: value for name, value in given.items() if name in wanted}
    engine: Engine = build(settings.engine, settings.trust, **given)
    return engine
