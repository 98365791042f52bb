"""Compiler: from a sample to the graph of its model, and to its source."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

from runner.config.instantiate import build
from runner.config.mutator_entries import Places
from runner.config.settings import INHERIT
from runner.engines.conversion_log import ConversionLog
from runner.engines.engine import ModelSource
from runner.engines.example import Example
from runner.engines.inheritance import SEED, Heritage, Parent, Tracked
from runner.engines.model_space import ModelSpace
from runner.engines.recent import Recent
from runner.engines.standalone import check_standalone
from runner.engines.symbolic_graph import SymbolicGraph
from runner.errors import ConfigError, GraphError, Refused, message, refusal
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import save_tensors
from runner.graph.interpreter.shape_propagation import EXAMPLES, propagate
from runner.graph.ir.argument import Spec
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.transforms.mutator import Mutator, drop_placeholders, mutate
from runner.graph.validation.in_place_effects import EffectsValidation
from runner.graph.weight_transfer.plan import mark
from runner.graph.weight_transfer.pretrained import loaded_bytes
from runner.space.sample import Chooser, DrawError, Sample, Walk, lookup, sample_key
from runner.space.space import Space

log = logging.getLogger(__name__)

KEPT = 64  # so many graphs of the last samples are kept
BASES = 8  # and so many graphs of base models, which are fewer
LARGE = 1 << 20  # bytes of loaded weights that are worth a word


@final
@dataclass(frozen=True)
class CompiledModel:
    """The graph of a sample's model, its source, and the labels of the sample it depends on."""

    tracked: Tracked
    source: ModelSource
    labels: frozenset[str]
    inline: Sample  # the choices of the model's own code

    @property
    def graph(self) -> Graph:
        return self.tracked.graph


@final
class Compiler:
    """Converts the space once, and for each sample decides and mutates a copy of its graph."""

    def __init__(
        self,
        space: Mapping[str, Any],
        mutators: Sequence[Mapping[str, Any]],
        trust: Sequence[str],
        shape: Sequence[int] | None,
        *,
        input: Sequence[int] | None = None,
        weights: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """`shape`: of an example, without the batch; `input` goes before it, and is what the model
        must take. `weights`: "inherit" where models start from those of the base model; None where
        they start from their own first values. `data`: the config node of what they are
        trained on."""
        known = shape if input is None else input
        self.shape = None if known is None else tuple(known)
        self.inherits = weights == INHERIT
        self._trust = [*trust]
        self._bases: Recent[Tracked] = Recent(BASES)
        self.mutators = [_mutator(node, trust) for node in mutators]
        self.model_space = ModelSpace(space, trust)
        self._key = "engine.shape" if input is None else "space.input"
        self._fits = not mutators and input is None  # whether an example need not be tried (again)
        self.space: Space = self.model_space if self._fits else GraphSpace(self)
        self._open = SymbolicGraph(space, trust, Example(self.shape, data, trust))
        self._effects = EffectsValidation()
        self._is_told = False  # whether it was said that mutated models are not run
        self._notes = ConversionLog(str(space.get("_target_")))
        self._last: Recent[CompiledModel | Refused] = Recent(KEPT)

    def compile(self, sample: Sample) -> CompiledModel:
        """The graph of a sample's model. Raises Refused when there can be none, or the space
        refuses it, and DrawError when the model's own code raises."""
        found = self._last.get(sample_key(sample), lambda: self._compile(sample))
        if isinstance(found, Refused):
            raise found
        return found

    def _compile(self, sample: Sample) -> CompiledModel | Refused:
        try:
            return self._mutated(sample)
        except Refused as refused:
            return refused

    def _mutated(self, sample: Sample) -> CompiledModel:
        walk = self._walk(lookup(sample))
        inline = {**walk.sample}
        base = self._base(inline).graph if self.inherits else self.decided(inline)
        graph = self.copied(base)
        try:
            mutate(graph, self.mutators, walk, base=base)
            drop_placeholders(graph)
            lint(graph, decided=True)
            if self.mutators:
                self._validate_effects(base, graph, sample_key(inline))
                self.propagate(graph)
            source = _written(graph)
        except Refused:
            raise
        except GraphError as error:
            raise Refused(str(error)) from error
        return CompiledModel(Tracked(graph), source, frozenset(walk.sample), inline)

    def _walk(self, choose: Chooser) -> Walk:
        """A walk through the model's own code. Raises Refused where that refuses the sample, and
        DrawError where it raises anything else."""
        walk = self.model_space.walk(choose)
        if walk.broken is not None:
            raise refusal(walk.broken) or walk.broken
        return walk

    def _validate_effects(self, base: Graph, mutated: Graph, name: str) -> None:
        """Mends effects in place that only a mutated model has; says once where that cannot be."""
        if self.shape is None and not self._is_told:
            log.warning(
                "Mutated models are not checked by running them, since the shape of an example is "
                "not known: set space.input, without the batch. Where a layer is left out, what "
                "others change in place might reach what it did not reach before."
            )
            self._is_told = True
        self._effects.validate(base, mutated, name)

    def _base(self, inline: Sample) -> Tracked:
        """The graph of the base model, whose units know their origin; to be read only."""
        return self._bases.get(sample_key(inline), lambda: Tracked(mark(self.decided(inline))))

    def heritage(self, sample: Sample, parent: tuple[int, Sample] | None) -> Heritage:
        """What a sample's model inherits of the base model and, where there is one, of its parent:
        the trial that left its weights, and its sample. Raises as `compile` does."""
        found = self.compile(sample)
        base = self._base(found.inline).plan(found.tracked)
        given = Heritage(
            space=dict(self.model_space.node), trust=self._trust, sample=found.inline, seed=SEED,
            example=None if self.shape is None else [*self.shape], plan=base,
        )  # fmt: skip
        if parent is not None:
            with suppress(Refused, DrawError):  # it was built where the driver cannot build it
                old = self.compile(parent[1]).tracked
                given["parent"] = Parent(trial=parent[0], plan=old.plan(found.tracked))
        return given

    def propagate(self, graph: Graph) -> None:
        """Find the shapes of all values from that of an example, if one is known. Raises GraphError
        where something does not fit."""
        if self.shape is not None:
            propagate(graph, Spec((EXAMPLES, *self.shape)))

    def decided(self, sample: Sample) -> Graph:
        """The graph of the model of the inline choices, not mutated; to be read only. Raises
        ConfigError when it does not take the example."""
        graph = self._open.decided(sample)
        graph.example = self.shape
        if not self._fits:
            self._check_input(graph)
        return graph

    def _check_input(self, graph: Graph) -> None:
        """Check, once, that a model takes the example before anything is changed in it; else every
        mutation would be refused for what it did not do."""
        twin = graph.copy()
        drop_placeholders(twin)
        try:
            self.propagate(twin)
        except GraphError as error:
            raise ConfigError(
                f"{self._key} is {[*(self.shape or ())]}, which the model does not take: "
                f"{message(error)}"
            ) from error
        self._fits = True
        if not self.inherits and (size := loaded_bytes(graph)) > LARGE:
            log.warning(
                "The model loads weights of its own, which go with the source of every trial (%d "
                "MB), and of narrower layers only the first channels. With space.weights=inherit "
                "they are read once by each worker, and the most important channels are kept.",
                size >> 20,
            )  # fmt: skip

    def places(self) -> list[Places]:
        """Where each mutator works in the default model, as those before it leave it."""
        found: list[Places] = []
        walk = self._walk(lambda choice: choice.default)
        base = self.decided(walk.sample)
        mutate(
            self.copied(base), self.mutators, walk, base=base,
            watch=lambda m, graph: found.append(Places(m.word, m.places(graph), m.tie)),
        )  # fmt: skip
        return found

    def copied(self, graph: Graph) -> Graph:
        """A graph that is free to be changed, where it may be: by mutators, or since others start
        from it."""
        return graph.copy() if self.mutators or self.inherits else graph

    def source(self, sample: Sample, *, standalone: bool = False) -> ModelSource:
        """The source of a sample's model. Raises as `compile` does, and ConfigError for a
        standalone one that has to import something."""
        found = self.compile(sample)
        if not standalone:
            return found.source
        source = _written(found.graph, standalone=True)
        # What stands in the space a mutator may still take out.
        space = None if self.mutators else self._open.graph
        check_standalone(source.text, found.graph, space)
        return source

    def tell(self, graph: Graph) -> None:
        """Log what a graph is made of and what could not be read, each thing once."""
        self._notes.tell(graph)


@final
class GraphSpace(Space):
    """What the model's own code asks for, and then what the mutators of its graph ask for."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    @property
    def refuses(self) -> bool:
        """Whether a sample was met that the model's own code refuses."""
        return self._compiler.model_space.refuses

    def draw(self, choose: Chooser) -> Sample:
        walk = self._compiler.model_space.walk(choose)
        try:
            base = self._compiler.decided(walk.whole())
            mutate(self._compiler.copied(base), self._compiler.mutators, walk, base=base)
        except Refused as refused:
            raise DrawError(str(refused), walk.sample) from refused
        return walk.sample


def _written(graph: Graph, *, standalone: bool = False) -> ModelSource:
    return ModelSource(generate(graph, standalone=standalone), save_tensors(graph) or None)


def _mutator(node: Mapping[str, Any], trust: Sequence[str]) -> Mutator:
    made = build(node, trust)
    if not isinstance(made, Mutator):
        raise ConfigError(
            f"space.mutators lists {node.get('_target_')!r}, which is no Mutator; derive it from "
            "runner.graph.Mutator."
        )
    return made
