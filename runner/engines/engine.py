"""The contract of engines: plan trials as jobs, and build the models of a job."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import nn

from runner.config.check_arguments import check_arguments, signature
from runner.config.instantiate import build
from runner.config.mutator_entries import Places
from runner.config.settings import Settings
from runner.config.targets import locate
from runner.data.data import Data
from runner.engines.inheritance import BaseModels
from runner.engines.model_space import ModelSpace
from runner.errors import ConfigError
from runner.fusion.program.program import Programs
from runner.graph.ir.graph import Graph
from runner.graph.transforms.mutator import Mutator
from runner.space.sample import Sample, sample_key
from runner.space.space import Space
from runner.trial import Job, Metrics, Trial

# What an engine's constructor may ask for beside the keys of its own node.
RUNTIME = ("space", "mutators", "input", "weights", "trust", "evaluator", "data")


@final
@dataclass(frozen=True)
class ModelSource:
    """Python source of a model, which defines `build() -> torch.nn.Module`. `constants` is the file
    of the tensors it needs (`runner.graph.codegen.load.CONSTANTS`), or None."""

    text: str
    constants: bytes | None = None


class Engine(ABC):
    """A way to turn samples into models.

    `space` is the set of choices, `group` the largest number of trials in a job, `notice` a
    message for the user before a search, if any, and `inherits` whether models start from the
    weights of others. `walked` is the space whose walks build the very models of the trials; None
    if those are changed afterwards.
    """

    space: Space
    group: int = 1
    notice: str = ""
    inherits: bool = False
    walked: ModelSpace | None = None

    def key(self, sample: Sample) -> str:
        """Returns a text that is equal for samples that mean the same trial.

        Called once per proposal, before planning. Raises Refused for a sample without a valid
        model, which is recorded as refused; another sample is drawn in its place.
        """
        return sample_key(sample)

    def graph(self, sample: Sample) -> Graph | None:
        """Returns the graph of a sample's model; None if the engine creates none."""
        return None

    def observe(self, trial: Trial) -> None:  # noqa: B027
        """Observes a trial; called like `Strategy.observe`: when a trial is recorded and when it
        ends, and again on resume. A trial is planned only after those that ended before its
        proposal were observed."""

    def places(self) -> Sequence[Places]:
        """Returns the matches of each of the space's mutators, in their order."""
        return ()

    @abstractmethod
    def plan(self, trials: Sequence[Trial], jobs: int = 1) -> Iterable[Job]:
        """Returns jobs that together run all these trials, each trial once; at least `jobs` of
        them, if possible. Runs in the driver."""

    @final
    def recipe_of(self, sample: Sample) -> Mapping[str, Any]:
        """Returns the arguments of `build` for a sample's model, outside of a search. Raises what
        `plan` raises."""
        [job] = self.plan([Trial(number=0, sample=sample, seed=0)])
        [recipe] = job.recipes
        return recipe

    @staticmethod
    @abstractmethod
    def build(recipe: Mapping[str, Any], folder: Path | None = None) -> nn.Module:
        """Returns the model of a trial, with initial values. Runs in the worker, seeded.

        If the run's folder is given, also writes the trial's files for users, such as its source.
        """

    @staticmethod
    def inherit(
        recipe: Mapping[str, Any], model: nn.Module, folder: Path, bases: BaseModels
    ) -> Metrics:
        """Copies the weights that the model of a recipe inherits into it, and returns metrics of
        that.

        Runs in the worker, once a model to be trained is built. `folder` is the run's, which holds
        the weights of trained trials; `bases` are the base models that the worker has built.
        """
        return {}

    @staticmethod
    def programs(recipe: Mapping[str, Any]) -> Programs | None:
        """Returns the traced programs of a model, in the worker; None if they are unknown."""
        return None

    def explain(self) -> str:
        """Returns a readable plan of a job of several trials; empty if there are no such jobs."""
        return ""

    @abstractmethod
    def source(self, trial: Trial, *, standalone: bool = False) -> ModelSource:
        """Returns the model of a trial as source. Standalone source imports only torch and
        installed libraries; raises ConfigError if that is not possible."""

    def check_source(self, sample: Sample) -> None:
        """Raises ConfigError if the models of a space have no standalone source, as far as the
        model of a sample tells; called once, when a search begins, and cheap."""
        self.source(Trial(number=0, sample=sample, seed=0), standalone=True)


def make(settings: Settings) -> Engine:
    """Returns the engine described by a config, for the config's space. Raises ConfigError before
    anything is built if the nodes of the engine, the space or its mutators are invalid."""
    trust = settings.trust
    check_arguments(settings.engine, trust, "engine", RUNTIME, expected=Engine)
    check_arguments(settings.model, trust, "space", expected=nn.Module)
    check_arguments(settings.mutators, trust, "space.mutators", expected=list[Mutator])
    check_arguments(settings.data, trust, "data", expected=Data)  # engines take examples from it
    sources = (settings.model, settings.mutators, settings.input, settings.weights, trust,
               settings.evaluator, settings.data)  # fmt: skip
    given = dict(zip(RUNTIME, sources, strict=True))
    wanted = signature(locate(settings.engine["_target_"], trust, "engine")) or given
    if settings.weights is not None and "weights" not in wanted:
        raise ConfigError(
            f"space.weights is {settings.weights!r}, which {settings.engine['_target_']} does "
            "not support; run with engine=base."
        )
    given = {name: value for name, value in given.items() if name in wanted}
    engine: Engine = build(settings.engine, trust, **given)
    return engine
