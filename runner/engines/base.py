"""Engine `base`: the model's graph is mutated, and every trial is source of its own."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, final

from safetensors.torch import load
from torch import nn

from runner.config.instantiate import build
from runner.config.mutator_entries import Places
from runner.engines.compiler import Compiler
from runner.engines.engine import Engine, ModelSource
from runner.engines.inheritance import inherit
from runner.errors import GraphError
from runner.graph.codegen.load import CONSTANTS, load_file, load_source
from runner.graph.ir.graph import Graph
from runner.model_header import heading
from runner.nn.build import sample as building
from runner.space.sample import DrawError, Sample, sample_key
from runner.trial import MODEL, Job, Metrics, Trial, trial_folder


@final
class BaseEngine(Engine):
    """A trial's recipe is the source of its model, its sample, and what it inherits, if it does."""

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        *,
        space: Mapping[str, Any],
        mutators: Sequence[Mapping[str, Any]] = (),
        input: Sequence[int] | None = None,
        weights: str | None = None,
        trust: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """`weights`: "inherit" where models start from the weights of the base model, or of the
        trial that they were made from; None where they start from their own first values. `data`:
        the config node of what they are trained on."""
        self._compiler = Compiler(
            space, mutators, trust, shape, input=input, weights=weights, data=data
        )
        self.inherits = self._compiler.inherits
        self._scored: dict[int, tuple[int, Sample]] = {}  # trial -> whose weights, and its sample
        self._unbuilt = {"space": dict(space), "trust": [*trust]}
        self.space = self._compiler.space

    def key(self, sample: Sample) -> str:
        try:
            found = self._compiler.compile(sample)
        except DrawError:  # it will fail, and leave the traceback of the model's own code
            return sample_key(sample)
        self._compiler.tell(found.graph)
        other = {label: value for label, value in sample.items() if label not in found.labels}
        return found.source.text + sample_key(other)

    def decided(self, sample: Sample) -> Graph:
        """The graph of a sample's model, to be read only. Raises as `Compiler.compile` does."""
        return self._compiler.compile(sample).graph

    def graph(self, sample: Sample) -> Graph:
        graph = self.decided(sample).copy()
        with suppress(GraphError):  # the shapes are for readers; a model may take other inputs
            self._compiler.propagate(graph)
        return graph

    def observe(self, trial: Trial) -> None:
        if self.inherits and trial.scored:
            owner = trial.number if trial.duplicate_of is None else trial.duplicate_of
            self._scored[trial.number] = owner, trial.sample

    def places(self) -> Sequence[Places]:
        return self._compiler.places()

    def plan(self, trials: Sequence[Trial], jobs: int = 1) -> Iterable[Job]:
        for trial in trials:
            yield Job([trial.number], [trial.seed], [trial.sample], [self._recipe(trial)])

    def _recipe(self, trial: Trial) -> Mapping[str, Any]:
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
    def build(recipe: Mapping[str, Any], folder: Path | None = None) -> nn.Module:
        if "source" not in recipe:
            with building(recipe["sample"]):
                made: nn.Module = build(recipe["space"], recipe["trust"])
                return made
        constants = recipe["constants"] and base64.b64decode(recipe["constants"])
        if folder is None:
            tensors = load(constants) if constants else {}
            return _made(load_source(recipe["source"], tensors))
        place = trial_folder(folder, recipe["trial"])
        place.mkdir(parents=True, exist_ok=True)
        if constants:
            (place / CONSTANTS).write_bytes(constants)
        facts = {"run": folder.name, "trial": recipe["trial"], "sample": recipe["sample"]}
        text = f"{heading(TITLE, facts)}\n{recipe['source']}"
        (place / MODEL).write_text(text, encoding="utf-8")
        return _made(load_file(place / MODEL))

    @staticmethod
    def inherit(recipe: Mapping[str, Any], model: nn.Module, folder: Path) -> Metrics:
        if "heritage" not in recipe:
            return {}
        return inherit(recipe["heritage"], model, folder, recipe["trial"])

    def source(self, trial: Trial, *, standalone: bool = False) -> ModelSource:
        return self._compiler.source(trial.sample, standalone=standalone)


def _made(module: ModuleType) -> nn.Module:
    model: nn.Module = module.build()
    return model


TITLE = "The model of a trial, as it was trained: `build()` makes it, with fresh weights."
