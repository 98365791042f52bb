"""Compiler: from a sample to the graph of its model, and to its source."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from runner.engines.engine import ModelSource
from runner.engines.model_space import ModelSpace
from runner.engines.notes import Notes
from runner.engines.open_graph import OpenGraph
from runner.engines.standalone import check_standalone
from runner.errors import ConfigError, GraphError, Refused
from runner.graph.argument import Spec
from runner.graph.graph import Graph
from runner.graph.lint import lint
from runner.graph.load import save_tensors
from runner.graph.mutator import Mutator, drop_placeholders, mutate
from runner.graph.running.shapes import propagate
from runner.graph.writing.generate import generate
from runner.space import Space
from runner.targets import build
from runner.walk import Chooser, DrawError, Sample, lookup, sample_key

log = logging.getLogger(__name__)

KEPT = 64  # so many graphs of the last samples are kept


@final
@dataclass(frozen=True)
class Decided:
    """The graph of a sample's model, its source, and the labels of the sample it depends on."""

    graph: Graph
    source: ModelSource
    labels: frozenset[str]


@final
class Compiler:
    """Converts the space once, and for each sample decides and mutates a copy of its graph."""

    def __init__(
        self,
        space: Mapping[str, Any],
        mutators: Sequence[Mapping[str, Any]],
        trust: Sequence[str],
        shape: Sequence[int] | None,
    ) -> None:
        self.shape = shape
        self.mutators = [_mutator(node, trust) for node in mutators]
        self.model_space = ModelSpace(space, trust)
        self.space: Space = GraphSpace(self) if mutators else self.model_space
        self._open = OpenGraph(space, trust)
        self._notes = Notes(str(space.get("_target_")))
        self._last: OrderedDict[str, Decided | Refused] = OrderedDict()

    def compile(self, sample: Sample) -> Decided:
        """The graph of a sample's model. Raises Refused when there can be none, and DrawError
        when the model's own code raises."""
        name = sample_key(sample)
        if name not in self._last:
            try:
                self._last[name] = self._compile(sample)
            except Refused as refused:
                self._last[name] = refused
            if len(self._last) > KEPT:
                self._last.popitem(last=False)
        found = self._last[name]
        if isinstance(found, Refused):
            raise found
        return found

    def _compile(self, sample: Sample) -> Decided:
        walk = self.model_space.walk(lookup(sample))
        if walk.broken is not None:
            raise walk.broken
        base = self.decided(walk.sample)
        graph = self.copied(base)
        try:
            mutate(graph, self.mutators, walk, base=base)
            drop_placeholders(graph)
            lint(graph, decided=True)
            if self.mutators:
                self.propagate(graph)
            source = _written(graph)
        except Refused:
            raise
        except GraphError as error:
            raise Refused(str(error)) from error
        return Decided(graph, source, frozenset(walk.sample))

    def propagate(self, graph: Graph) -> None:
        """Find the shapes of all values from that of an example, if one is known. Raises GraphError
        where something does not fit."""
        if self.shape is not None:
            propagate(graph, Spec((2, *self.shape)))

    def decided(self, sample: Sample) -> Graph:
        """The graph of the model of the inline choices, not mutated; to be read only."""
        return self._open.decided(sample)

    def copied(self, graph: Graph) -> Graph:
        """A graph that is free to be changed, where there are mutators to change it."""
        return graph.copy() if self.mutators else graph

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

    def draw(self, choose: Chooser) -> Sample:
        walk = self._compiler.model_space.walk(choose)
        if walk.broken is not None:
            raise walk.broken
        try:
            base = self._compiler.decided(walk.sample)
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
