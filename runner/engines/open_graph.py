"""The graph of a space while its choices are open."""

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.choice import Value, key
from runner.engines.model_space import quiet
from runner.errors import ConfigError, one_line
from runner.graph.choices import decided
from runner.graph.graph import Graph
from runner.graph.load import load_source
from runner.graph.mutator import drop_placeholders
from runner.graph.reading.convert import convert
from runner.graph.writing.generate import generate
from runner.nn.build import sample as building
from runner.nn.record import recording
from runner.nn.same import differences
from runner.nn.symbolic import symbolic
from runner.targets import build
from runner.walk import Sample, lookup

log = logging.getLogger(__name__)


@final
class OpenGraph:
    """The graph of a space with its choices open; or, where the model's Python needs to know a
    choice, graphs that are converted anew for each sample.

    A decided graph is held against the model that the space's own Python makes of the sample, as
    long as a sample has a value that was not held before.
    """

    def __init__(self, node: Mapping[str, Any], trust: Sequence[str]) -> None:
        self._node = node
        self._trust = trust
        self.graph: Graph | None = None  # with its choices open; None where it cannot be
        self._closed = False  # whether the choices cannot be left open
        self._unchecked = False  # whether a graph could not be held against a model, which was said
        self._held: set[tuple[str, str]] = set()  # labels and values that were looked at

    def decided(self, sample: Sample) -> Graph:
        """A graph with the choices of a sample; to be copied before it is changed."""
        if self.graph is None and not self._closed:
            with uncollected():
                self._convert()
        if self.graph is not None:
            graph = decided(self.graph, lookup(sample))
            if self._agrees(graph, sample):
                return graph
        with quiet(), recording(), building(sample):
            model = self._build()
        graph = self._read(model)
        _check_nothing_lost(graph)
        return decided(graph, lookup(sample))

    def _convert(self) -> None:
        """Convert the space once, with its choices open, if that can be."""
        try:
            with quiet(), symbolic(defaults="last"):
                other = self._build()
            with quiet(), symbolic():
                model = self._build()
            if paths := differences(model, other):
                what = f"What it makes at {paths[0]!r}" if paths[0] else "What its constructor does"
                self._close(f"{what} follows from a choice in a way that cannot be written down.")
            else:
                self.graph = self._read(model)
        except Exception as error:
            self._close(one_line(error))
        if self.graph is not None:
            _check_nothing_lost(self.graph)

    @staticmethod
    def _read(model: nn.Module) -> Graph:
        """The graph of a model; in no build, so that a class is used as it is only where that
        makes the same without a sample."""
        with quiet():
            return convert(model)

    def _close(self, why: str) -> None:
        self.graph, self._closed = None, True
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
        except Exception as error:  # its Python cannot do without values, or on this machine
            if not self._unchecked:
                log.warning(
                    "Graphs of %s are used without holding them against what its Python makes, "
                    "which failed: %s", self._node["_target_"], one_line(error),
                )  # fmt: skip
            self._unchecked = True
            return True
        if difference:
            self._close(difference)
        return not difference

    def _python_model(self, sample: Sample) -> nn.Module:
        """What the space's own Python makes of a sample, on meta where its code can run there."""
        try:
            with quiet(), torch.device("meta"), building(sample):
                return self._build()
        except Exception:  # code that looks at values, which tensors on meta do not have
            with quiet(), building(sample):
                return self._build()

    def _build(self) -> nn.Module:
        model: nn.Module = build(self._node, self._trust)
        return model


def _check_nothing_lost(graph: Graph) -> None:
    """Raises ConfigError for a graph that does something else than its model."""
    if lost := [note for note in graph.notes if note.lost]:
        raise ConfigError(f"{lost[0]} Or run with engine=py.")


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
    ours, theirs = (_tensors(module) for module in (twin, model))
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            return (
                f"Its {name!r} is {theirs.get(name, 'not there')}, and in its graph "
                f"{ours.get(name, 'not there')}."
            )
    return ""


def _tensors(model: nn.Module) -> dict[str, str]:
    """The tensors in a model's state_dict, by what they are."""
    return {
        name: f"{str(value.dtype).removeprefix('torch.')}{[*value.shape]}"
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }


def _layers(model: nn.Module) -> dict[str, str]:
    """The layers of torch.nn in a model, as they print."""
    return {
        path: repr(module)
        for path, module in model.named_modules()
        if type(module).__module__.startswith("torch.nn.") and not any(module.children())
        if not isinstance(module, nn.Identity)  # where the other has a Placeholder
    }


@contextmanager
def uncollected() -> Iterator[None]:
    """Have Python not search for garbage, which goes through all that is alive again and again
    while modules are made by the thousand, and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
