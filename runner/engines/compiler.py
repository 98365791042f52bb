"""Compiler: from a sample to the graph of its model, and to its source."""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn

from runner.choice import Value, key
from runner.engines.engine import ModelSource
from runner.engines.model_space import ModelSpace
from runner.errors import ConfigError, GraphError, Refused, one_line
from runner.graph.argument import Spec
from runner.graph.choices import decided
from runner.graph.lint import lint
from runner.graph.load import load_source, save_tensors
from runner.graph.mutator import Mutator, drop_placeholders, mutate
from runner.graph.reading.convert import convert
from runner.graph.running.shapes import propagate
from runner.graph.unit import Graph
from runner.graph.writing.generate import generate
from runner.nn.build import sample as building
from runner.nn.record import recording
from runner.nn.same import differences
from runner.nn.symbolic import symbolic
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
        self._open = _OpenGraph(space, trust)
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
        graph = self.decided(walk.sample)
        try:
            mutate(graph, self.mutators, walk)
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
        """The graph of the model of the inline choices, not mutated; free to be changed where
        there are mutators."""
        graph = self._open.decided(sample)
        return graph.copy() if self.mutators else graph

    def source(self, sample: Sample, *, standalone: bool = False) -> ModelSource:
        """The source of a sample's model. Raises as `compile` does."""
        found = self.compile(sample)
        return _written(found.graph, standalone=True) if standalone else found.source


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
            mutate(self._compiler.decided(walk.sample), self._compiler.mutators, walk)
        except Refused as refused:
            raise DrawError(str(refused), walk.sample) from refused
        return walk.sample


@final
class _OpenGraph:
    """The graph of a space with its choices open; or, where the model's Python needs to know a
    choice, graphs that are converted anew for each sample.

    A decided graph is held against the model that the space's own Python makes of the sample, as
    long as a sample has a value that was not held before.
    """

    def __init__(self, node: Mapping[str, Any], trust: Sequence[str]) -> None:
        self._node = node
        self._trust = trust
        self._graph: Graph | None = None
        self._closed = False  # whether the choices cannot be left open
        self._held: set[tuple[str, str]] = set()  # labels and values that were looked at

    def decided(self, sample: Sample) -> Graph:
        """A graph with the choices of a sample; to be copied before it is changed."""
        if self._graph is None and not self._closed:
            self._convert()
        if self._graph is not None:
            graph = decided(self._graph, lookup(sample))
            if self._agrees(graph, sample):
                return graph
        with quiet(), recording(), building(sample):
            model = self._build()
        return decided(self._read(model), lookup(sample))

    def _convert(self) -> None:
        """Convert the space once, with its choices open, if that can be."""
        try:
            with quiet(), symbolic(defaults="last"):
                other = self._build()
            with quiet(), symbolic():
                model = self._build()
            if paths := differences(model, other):
                self._close(
                    f"What it makes at {paths[0]!r} follows from a choice in a way unknown."
                )
            else:
                self._graph = self._read(model)
        except Exception as error:
            self._close(one_line(error))

    @staticmethod
    def _read(model: nn.Module) -> Graph:
        """The graph of a model; in no build, so that a class is used as it is only where that
        makes the same without a sample."""
        with quiet():
            return convert(model)

    def _close(self, why: str) -> None:
        self._graph, self._closed = None, True
        log.info(
            "%s is built and converted anew for every sample, which takes longer: its Python needs "
            "to know what was chosen. %s", self._node["_target_"], why,
        )  # fmt: skip

    def _agrees(self, graph: Graph, sample: Sample) -> bool:
        pairs = {(label, _kind(value)) for label, value in sample.items()}
        if pairs <= self._held:
            return True
        self._held |= pairs
        try:
            difference = _difference(graph, self._python_model(sample))
        except Exception as error:  # its Python cannot do without values: the graph has to be right
            log.debug("A graph could not be compared: %s", one_line(error))
            return True
        if difference:
            self._close(difference)
        return not difference

    def _python_model(self, sample: Sample) -> nn.Module:
        with quiet(), torch.device("meta"), building(sample):
            return self._build()

    def _build(self) -> nn.Module:
        model: nn.Module = build(self._node, self._trust)
        return model


def _kind(value: Value) -> str:
    """Values that are worth a look of their own; all numbers of a continuous range are one."""
    return "a number" if isinstance(value, float) else key(value)


def _difference(graph: Graph, model: nn.Module) -> str:
    """How the model of a decided graph differs from the one it should be; empty if it does not."""
    twin_graph = graph.copy()
    drop_placeholders(twin_graph)
    with quiet(), torch.device("meta"):
        twin = load_source(generate(twin_graph), twin_graph.tensors).build()
    ours, theirs = (_layers(module) for module in (twin, model))
    for path in theirs.keys() & ours.keys():
        if ours[path] != theirs[path]:
            return f"At {path!r} it makes {theirs[path]}, where its graph has {ours[path]}."
    names = [{k: v.shape for k, v in m.state_dict().items()} for m in (twin, model)]
    for name in names[0].keys() | names[1].keys():
        if names[0].get(name) != names[1].get(name):
            return f"Its {name!r} has the shape {names[1].get(name)}, not {names[0].get(name)}."
    return ""


def _layers(model: nn.Module) -> dict[str, str]:
    """The layers of torch.nn in a model, as they print."""
    return {
        path: repr(module)
        for path, module in model.named_modules()
        if type(module).__module__.startswith("torch.nn.") and not any(module.children())
        if not isinstance(module, nn.Identity)  # where the other has a Placeholder
    }


def _written(graph: Graph, *, standalone: bool = False) -> ModelSource:
    return ModelSource(generate(graph, standalone=standalone), save_tensors(graph) or None)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave the program's random numbers as they are."""
    with torch.random.fork_rng([]):
        yield


def _mutator(node: Mapping[str, Any], trust: Sequence[str]) -> Mutator:
    made = build(node, trust)
    if not isinstance(made, Mutator):
        raise ConfigError(
            f"space.mutators lists {node.get('_target_')!r}, which is no Mutator; derive it from "
            "runner.graph.Mutator."
        )
    return made
