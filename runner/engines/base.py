"""The engine `base`: each sample becomes a mutated graph, and each trial has its own source."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, final

from safetensors.torch import load
from torch import nn

from runner.config.mutator_entries import Places
from runner.config.source_secrets import masked_source
from runner.engines.compiler import Compiler
from runner.engines.engine import Engine, ModelSource
from runner.engines.inheritance import BaseModels, inherit
from runner.engines.model_space import build_sample
from runner.errors import GraphError
from runner.graph.codegen.load import CONSTANTS, load_file, load_source
from runner.graph.frontend.frontends import AUTO
from runner.graph.ir.graph import Graph
from runner.model_header import heading
from runner.space.sample import DrawError, Sample, sample_key
from runner.trial import MODEL, Job, Metrics, Trial, trial_folder


class GraphEngine(Engine):
    """An engine whose models are graphs, written as source. Subclasses assign trials to jobs.

    A trial's recipe contains the source of its model, its sample, and its inheritance, if any.
    """

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        frontend: str = AUTO,
        *,
        space: Mapping[str, Any],
        mutators: Sequence[Mapping[str, Any]] = (),
        input: Sequence[int] | None = None,
        weights: str | None = None,
        trust: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Stores the config; conversion happens on first use.

        `frontend` is what reads the code of models, see `runner.graph.convert`. `weights` is
        "inherit" if models start from the weights of the base model or of their parent trial, and
        None if they start from their own initial values. `data` is the config node of the training
        data.
        """
        self._compiler = Compiler(
            space,
            mutators,
            trust,
            shape,
            frontend=frontend,
            input=input,
            weights=weights,
            data=data,
        )
        self.inherits = self._compiler.inherits
        self.space = self._compiler.space
        self.walked = None if mutators else self._compiler.model_space
        self._scored: dict[int, tuple[int, Sample]] = {}  # trial -> owner of its weights, sample
        self._unbuilt = {"space": dict(space), "trust": [*trust]}

    @final
    def key(self, sample: Sample) -> str:
        try:
            found = self._compiler.compile(sample)
        except DrawError:  # the trial will fail, and leave the traceback of the model's own code
            return sample_key(sample)
        self._compiler.log(found.graph)
        other = {label: value for label, value in sample.items() if label not in found.labels}
        return found.source.text + sample_key(other)

    @final
    def compiled(self, sample: Sample) -> Graph:
        """Returns the graph of a sample's model, read-only. Raises like `Compiler.compile`."""
        return self._compiler.compile(sample).graph

    @final
    def graph(self, sample: Sample) -> Graph:
        graph = self.compiled(sample).copy()
        with suppress(GraphError):  # shapes are informative; a model may take other inputs
            self._compiler.propagate(graph)
        return graph

    @final
    def observe(self, trial: Trial) -> None:
        if self.inherits and trial.scored:
            self._scored[trial.number] = trial.owner, trial.sample

    @final
    def places(self) -> Sequence[Places]:
        return self._compiler.places()

    @final
    def recipe(self, trial: Trial) -> Mapping[str, Any]:
        """Returns the data that `build` and `inherit` need for a trial, as plain JSON."""
        known = {"trial": trial.number, "sample": trial.sample}
        try:
            source = self._compiler.source(trial.sample)
        except DrawError:
            return {**known, **self._unbuilt}
        constants = source.constants and base64.b64encode(source.constants).decode()
        recipe = {**known, "source": source.text, "constants": constants}
        if not self.inherits:
            return recipe
        parent = None if trial.parent is None else self._scored.get(trial.parent)
        return {**recipe, "heritage": self._compiler.heritage(trial.sample, parent)}

    @staticmethod
    @final
    def build(recipe: Mapping[str, Any], folder: Path | None = None) -> nn.Module:
        if "source" not in recipe:
            return build_sample(recipe["space"], recipe["trust"], recipe["sample"])
        constants = recipe["constants"] and base64.b64decode(recipe["constants"])
        if folder is None:
            tensors = load(constants) if constants else {}
            return _model(load_source(recipe["source"], tensors))
        place = trial_folder(folder, recipe["trial"])
        place.mkdir(parents=True, exist_ok=True)
        if constants:
            (place / CONSTANTS).write_bytes(constants)
        facts = {"run": folder.name, "trial": recipe["trial"], "sample": recipe["sample"]}
        shown = masked_source(recipe["source"])
        text = f"{heading(TITLE, facts)}\n{shown}"  # samples are no secrets
        (place / MODEL).write_text(text, encoding="utf-8")
        if shown != recipe["source"]:
            return _model(load_source(recipe["source"], load(constants) if constants else {}))
        return _model(load_file(place / MODEL))

    @staticmethod
    @final
    def inherit(
        recipe: Mapping[str, Any], model: nn.Module, folder: Path, bases: BaseModels
    ) -> Metrics:
        if "heritage" not in recipe:
            return {}
        return inherit(recipe["heritage"], model, folder, recipe["trial"], bases)

    @final
    def source(self, trial: Trial, *, standalone: bool = False) -> ModelSource:
        return self._compiler.source(trial.sample, standalone=standalone)


@final
class BaseEngine(GraphEngine):
    """An engine that runs each trial as a job of its own."""

    def plan(self, trials: Sequence[Trial], jobs: int = 1) -> Iterable[Job]:
        for trial in trials:
            yield Job.of([trial], [self.recipe(trial)])


def _model(module: ModuleType) -> nn.Module:
    model: nn.Module = module.build()
    return model


TITLE = "The model of a trial, as it was trained: `build()` makes it, with fresh weights."
