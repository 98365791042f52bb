"""The compiler of an engine: from a sample to the graph of its model and its source."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

from runner.config.instantiate import build
from runner.config.mutator_entries import Places
from runner.config.settings import INHERIT
from runner.engines.bounded_cache import BoundedCache
from runner.engines.conversion_log import ConversionLog
from runner.engines.engine import ModelSource
from runner.engines.example import Example
from runner.engines.inheritance import SEED, Heritage, Parent, Tracked
from runner.engines.model_space import ModelSpace
from runner.engines.standalone import check_standalone
from runner.engines.symbolic_graph import SymbolicGraph
from runner.errors import ConfigError, GraphError, Refused, as_yaml, message, refusal
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import save_tensors
from runner.graph.frontend.frontends import AUTO, usable
from runner.graph.interpreter.shape_propagation import EXAMPLES, propagate
from runner.graph.ir.argument import Spec
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.transforms.mutator import Mutator, drop_placeholders, mutate
from runner.graph.validation.in_place_effects import EffectsValidation
from runner.graph.weight_transfer.plan import mark
from runner.graph.weight_transfer.pretrained import loaded_bytes
from runner.space.sample import Chooser, DrawError, Sample, Walk, sample_key
from runner.space.space import Space

log = logging.getLogger(__name__)

KEPT = 64  # compiled models that are cached
BASES = 8  # base models that are cached; there are fewer of them
LARGE = 1 << 20  # bytes of loaded weights that trigger a warning


@final
@dataclass(frozen=True)
class CompiledSample:
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
    """The space, converted once; for each sample, a copy of its graph is resolved and mutated."""

    def __init__(
        self,
        space: Mapping[str, Any],
        mutators: Sequence[Mapping[str, Any]],
        trust: Sequence[str],
        shape: Sequence[int] | None,
        *,
        frontend: str = AUTO,
        input: Sequence[int] | None = None,
        weights: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes the `shape` of an example, without the batch; `input` takes precedence over it, and
        the model must accept it. `frontend` is what reads the model's code, see
        `runner.graph.convert`. `weights` is "inherit" if models start from those of the base model,
        and None if they start from their own initial values. `data` is the config node of the
        training data.

        Raises ConfigError for a front end that does not exist or does not support this Python.
        """
        usable(frontend, "engine.frontend")
        known = shape if input is None else input
        self.shape = None if known is None else tuple(known)
        self.inherits = weights == INHERIT
        self._trust = [*trust]
        self._bases: BoundedCache[Tracked] = BoundedCache(BASES)
        self.mutators = [_mutator(node, trust, i) for i, node in enumerate(mutators)]
        self.model_space = ModelSpace(space, trust, self.shape)
        self._key = "engine.shape" if input is None else "space.input"
        self._input_accepted = not mutators and input is None  # or need not be checked
        self.space: Space = self.model_space if self._input_accepted else GraphSpace(self)
        self._symbolic = SymbolicGraph(space, trust, Example(self.shape, data, trust), frontend)
        self._effects = EffectsValidation()
        self._log = ConversionLog(str(space.get("_target_")))
        self._last: BoundedCache[CompiledSample | Refused] = BoundedCache(KEPT)

    def compile(self, sample: Sample) -> CompiledSample:
        """Returns the compiled model of a sample. Raises Refused if no valid model exists or the
        space refuses the sample, and DrawError if the model's own code raises."""
        found = self._last.get(sample_key(sample), lambda: self._compile(sample))
        if isinstance(found, Refused):
            raise found
        return found

    def _compile(self, sample: Sample) -> CompiledSample | Refused:
        try:
            return self._mutated(sample)
        except Refused as refused:
            return refused

    def _mutated(self, sample: Sample) -> CompiledSample:
        walk = _whole(self.model_space.rewalk(sample))
        inline = {**walk.sample}
        base = self._base(inline).graph if self.inherits else self.unmutated(inline)
        graph = self.mutable_copy(base)
        try:
            mutate(graph, self.mutators, walk, base=base)
            drop_placeholders(graph)
            lint(graph, decided=True)
            if self.mutators:
                self._validate_effects(base, graph, sample_key(inline))
                self.propagate(graph)
            source = _source(graph)
        except Refused:
            raise
        except GraphError as error:
            raise Refused(str(error)) from error
        return CompiledSample(Tracked(graph), source, frozenset(walk.sample), inline)

    def _validate_effects(self, base: Graph, mutated: Graph, name: str) -> None:
        """Inserts clones for in-place effects that mutation introduced; warns once if it cannot."""
        if self.shape is None:
            self._log.warn(
                "Mutations of %s are not validated, because the shape of an example is unknown: "
                "set space.input, without the batch. If a layer is removed, in-place operations of "
                "others may modify tensors that they did not modify before."
            )
        self._effects.validate(base, mutated, name)

    def _base(self, inline: Sample) -> Tracked:
        """Returns the graph of the base model with the origin of each unit marked; read-only."""
        return self._bases.get(sample_key(inline), lambda: Tracked(mark(self.unmutated(inline))))

    def heritage(self, sample: Sample, parent: tuple[int, Sample] | None) -> Heritage:
        """Returns what a sample's model inherits from the base model and its parent, if any: the
        trial that owns the weights, and its sample. Raises like `compile`."""
        found = self.compile(sample)
        base = self._base(found.inline).plan(found.tracked)
        given = Heritage(
            space=dict(self.model_space.node), trust=self._trust, sample=found.inline, seed=SEED,
            example=None if self.shape is None else [*self.shape], plan=base,
        )  # fmt: skip
        if parent is not None:
            with suppress(Refused, DrawError):  # only the worker could build it
                old = self.compile(parent[1]).tracked
                given["parent"] = Parent(trial=parent[0], plan=old.plan(found.tracked))
        return given

    def propagate(self, graph: Graph) -> None:
        """Propagates the shape of an example, if it is known. Raises GraphError on a mismatch."""
        if self.shape is not None:
            propagate(graph, Spec((EXAMPLES, *self.shape)))

    def unmutated(self, sample: Sample) -> Graph:
        """Returns the resolved, unmutated graph of a sample of the model's own choices; read-only.
        Raises ConfigError if it does not accept the example."""
        graph = self._symbolic.resolved(sample)
        graph.example = self.shape
        if not self._input_accepted:
            self._check_input(graph)
        return graph

    def _check_input(self, graph: Graph) -> None:
        """Checks, once, that the unmutated model accepts the example. Otherwise every mutation
        would be refused for the wrong reason."""
        checked = graph.copy()
        drop_placeholders(checked)
        try:
            self.propagate(checked)
        except GraphError as error:
            anchors = [unit.facts["labels"][0] for _, unit in graph.units(cls="Placeholder")]
            raise ConfigError(
                f"{self._key} is {[*(self.shape or ())]}, which the model does not accept: "
                f"{message(error)}{_anchored(anchors, self._key)}"
            ) from error
        self._input_accepted = True
        if not self.inherits and (size := loaded_bytes(graph)) > LARGE:
            log.warning(
                "The model loads pretrained weights, which are stored with the source of every "
                "trial (%d MB), and narrower layers keep their first channels only. With "
                "space.weights=inherit, each worker reads the weights once, and narrower layers "
                "keep their most important channels.",
                size >> 20,
            )  # fmt: skip

    def places(self) -> list[Places]:
        """Returns the matches of each mutator in the default model, after earlier mutators."""
        found: list[Places] = []
        walk = _whole(self.model_space.walk(lambda choice: choice.default))
        base = self.unmutated(walk.sample)
        mutate(
            self.mutable_copy(base), self.mutators, walk, base=base,
            watch=lambda m, graph: found.append(Places(m.word, m.places(graph), m.tie)),
        )  # fmt: skip
        return found

    def mutable_copy(self, graph: Graph) -> Graph:
        """Returns a copy of a graph if it may be modified, by mutators or for inheritance."""
        return graph.copy() if self.mutators or self.inherits else graph

    def source(self, sample: Sample, *, standalone: bool = False) -> ModelSource:
        """Returns the source of a sample's model. Raises like `compile`, and ConfigError if
        standalone source would need an import."""
        found = self.compile(sample)
        if not standalone:
            return found.source
        source = _source(found.graph, standalone=True)
        # Mutators may still remove units of the space.
        space = None if self.mutators else self._symbolic.graph
        check_standalone(source.text, found.graph, space)
        return source

    def log(self, graph: Graph) -> None:
        """Logs the composition of a graph and its notes, each only once."""
        self._log.log(graph)


@final
class GraphSpace(Space):
    """The choices of the model's own code, followed by those of its mutators."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    @property
    def refuses(self) -> bool:
        """True once the model's own code has refused a sample."""
        return self._compiler.model_space.refuses

    @property
    def slow(self) -> bool:
        return True

    def draw(self, choose: Chooser) -> Sample:
        walk = self._compiler.model_space.walk(choose)
        try:
            base = self._compiler.unmutated(walk.whole())
            mutate(self._compiler.mutable_copy(base), self._compiler.mutators, walk, base=base)
        except Refused as refused:
            raise DrawError(str(refused), walk.sample) from refused
        return walk.sample


def _anchored(names: Sequence[str], key: str) -> str:
    """Returns what to do about a model that fits only once mutators have replaced its
    placeholders."""
    if not names:
        return ""
    return (
        f" If it fits only once a mutator replaces {', '.join(map(repr, names))} (nn.Placeholder, "
        f"an identity until then), set {key}=null: models are then not checked before they train."
    )


def _whole(walk: Walk) -> Walk:
    """Returns a walk of the model's own code. Raises Refused if that refused the sample, and
    DrawError if it raised anything else."""
    if walk.broken is not None:
        raise refusal(walk.broken) or walk.broken
    return walk


def _source(graph: Graph, *, standalone: bool = False) -> ModelSource:
    return ModelSource(generate(graph, standalone=standalone), save_tensors(graph) or None)


def _mutator(node: Mapping[str, Any], trust: Sequence[str], number: int) -> Mutator:
    where = f"space.mutators[{number}]"
    try:
        made = build(node, trust)
    except ConfigError as error:
        place = "" if str(error).startswith("space.mutators") else f"{where}: "
        raise ConfigError(f"{place}{error}") from error
    if not isinstance(made, Mutator):
        raise ConfigError(
            f"{where} has the _target_ {as_yaml(node.get('_target_'))}, which is not a Mutator; "
            "derive it from runner.graph.Mutator."
        )
    return made
