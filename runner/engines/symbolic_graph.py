"""The graph of a space while its choices are open."""

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import and_, or_
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.config.instantiate import build
from runner.engines.example import Example
from runner.engines.model_space import build_sample, quiet
from runner.errors import ConfigError, Refused, RunnerError, one_line
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert as read
from runner.graph.frontend.kept_modules import Keep, class_name
from runner.graph.interpreter.threads import single_threaded
from runner.graph.ir.graph import Graph
from runner.graph.transforms.mutator import drop_placeholders
from runner.graph.transforms.resolve_choices import Resolver, decided
from runner.graph.validation.equivalence import CannotRun
from runner.graph.validation.translation_validation import ValidationOutcome, validate
from runner.graph.validation.validated_conversion import converted, keep_more
from runner.nn.equality import differences
from runner.nn.recording.record import recording
from runner.nn.symbolic import symbolic
from runner.space.choice import JsonValue, key
from runner.space.sample import Sample, lookup

log = logging.getLogger(__name__)

FLOATS = 8  # so many values of a continuous range are looked at
SOME = "another number"  # stands for all others


@final
class SymbolicGraph:
    """The graph of a space with its choices open; or, where the model's Python needs to know a
    choice, graphs that are converted anew for each sample.

    A decided graph is held against the model that the space's own Python makes of the sample, in
    structure and on an example, as long as a sample has a value that was not held before.
    """

    def __init__(
        self, node: Mapping[str, Any], trust: Sequence[str], example: Example | None = None
    ) -> None:
        self._node = node
        self._trust = trust
        self._example = example or Example(None)
        self.graph: Graph | None = None  # with its choices open; None where it cannot be
        self._closed = False  # whether the choices cannot be left open
        self._keep = Keep(by=class_name)  # modules that TorchScript reads otherwise than Python
        self._said: set[str] = set()  # warnings that were given
        self._held: set[tuple[str, str]] = set()  # labels and values that were looked at

    def decided(self, sample: Sample) -> Graph:
        """A graph with the choices of a sample; to be copied before it is changed."""
        if self.graph is None and not self._closed:
            with uncollected():
                self._convert()
        while self.graph is not None:
            graph = self._resolver.decided(lookup(sample))
            if self._agrees(graph, sample):
                return graph
        return decided(self._alone(sample), lookup(sample))

    def _convert(self) -> None:
        """Convert the space once, with its choices open, if that can be."""
        self.graph = None
        try:
            with quiet(), symbolic(defaults="last"):
                other = self._build()
            with quiet(), symbolic():
                model = self._build()
            if paths := differences(model, other):
                what = f"What it makes at {paths[0]!r}" if paths[0] else "What its constructor does"
                self._close(f"{what} follows from a choice in a way that cannot be written down.")
            else:
                with quiet():
                    self.graph = read(model, self._keep)
                    self._resolver = Resolver(self.graph)
        except Refused as refused:
            self._close(f"Its first or its last candidates together are refused: {refused}")
        except Exception as error:
            self._close(one_line(error))
        if self.graph is not None:
            _check_nothing_lost(self.graph)

    def _alone(self, sample: Sample) -> Graph:
        """The graph of one sample's model, converted anew. That is done in no build, so that a
        class is used as it is only where that makes the same without a sample.

        Raises Refused for a graph that computes something else than the model, once others did
        not, and ConfigError for the first one.
        """
        with quiet(), recording():
            model = build_sample(self._node, self._trust, sample)
        pairs = self._unseen(sample)
        inputs = self._example.inputs if pairs else None

        def check(graph: Graph) -> ValidationOutcome:
            return validate(decided(graph, lookup(sample)), model, *(inputs or ()))

        with quiet(), single_threaded():
            graph = (
                read(model, self._keep) if inputs is None else converted(model, self._keep, check)
            )
        _check_nothing_lost(graph, Refused if self._held else ConfigError)
        self._held |= pairs
        return graph

    def _close(self, why: str) -> None:
        self.graph, self._closed = None, True
        self._keep = Keep(by=class_name)  # what differed may have followed from a choice
        log.info(
            "%s is built and converted anew for every sample, which takes longer: its Python needs "
            "to know what was chosen. %s", self._node["_target_"], why,
        )  # fmt: skip

    def _unseen(self, sample: Sample) -> set[tuple[str, str]]:
        """The labels of a sample with values that were not looked at."""
        pairs = {(label, self._kind(label, value)) for label, value in sample.items()}
        return (pairs or {("", "")}) - self._held

    def _kind(self, label: str, value: JsonValue) -> str:
        """A value as it is looked at: by itself; of a continuous range, only the first few are."""
        exact = key(value)
        if not isinstance(value, float) or (label, exact) in self._held:
            return exact
        seen = sum(held == label for held, _ in self._held)
        return exact if seen < FLOATS else SOME

    def _agrees(self, graph: Graph, sample: Sample) -> bool:
        """Whether a decided graph is what the space's own Python makes of the sample; where it is
        not, the space is converted again with more kept as it is, or for each sample."""
        unseen = self._unseen(sample)
        if not unseen:
            return True
        try:
            model = self._python_model(sample)
            problem = _difference(graph, model)
        except Exception as error:  # its Python cannot do without values, or on this machine
            self._warn(
                "Graphs of %s are used without holding them against what its Python makes, which "
                "failed: %s", one_line(error),
            )  # fmt: skip
            self._held |= unseen
            return True
        if problem:
            self._close(problem)
        elif self._computes_the_same(graph, model):
            self._held |= unseen
            return True
        return False

    def _computes_the_same(self, graph: Graph, model: nn.Module) -> bool:
        """Whether a graph and its model give the same on the example, as far as can be told."""
        inputs = self._example.inputs
        if inputs is None:
            self._warn("Graphs of %s were not checked by running them: %s", _NO_SHAPE)
            return True
        try:
            with quiet(), single_threaded():
                outcome = validate(graph, model, *inputs, same_buffers=True)
        except CannotRun as error:
            shapes = ", ".join(str([*each.shape]) for each in inputs if isinstance(each, Tensor))
            why = f"it does not run on an example {shapes}: {error}"
            self._warn("Graphs of %s were not checked by running them, since %s", why)
            return True
        if not outcome.mismatches:
            if outcome.skipped:
                self._warn("Graphs of %s were checked in eval mode only, since %s", outcome.skipped)
            return True
        if keep_more(self._keep, outcome):
            with uncollected():
                self._convert()
        else:
            self._close(f"Its graph computes something else: {outcome.mismatches[0].text}.")
        return False

    def _warn(self, text: str, *more: str) -> None:
        """Log a warning about the space, once."""
        if text not in self._said:
            log.warning(text, self._node["_target_"], *more)
        self._said.add(text)

    def _python_model(self, sample: Sample) -> nn.Module:
        """What the space's own Python makes of a sample: with values where there is an example to
        run it on, else on meta where its code can run there."""
        if self._example.shape is not None:
            return self._built(sample, "cpu")
        try:
            return self._built(sample, "meta")
        except Exception:  # code that looks at values, which tensors on meta do not have
            return self._built(sample, "cpu")

    def _built(self, sample: Sample, device: str) -> nn.Module:
        with quiet(), torch.device(device):
            return build_sample(self._node, self._trust, sample)

    def _build(self) -> nn.Module:
        model: nn.Module = build(self._node, self._trust)
        return model


_NO_SHAPE = "the shape of an example is not known; set engine.shape."


def _check_nothing_lost(graph: Graph, error: type[RunnerError] = ConfigError) -> None:
    """Raises an error for a graph that does something else than its model."""
    if lost := [note for note in graph.notes if note.lost]:
        raise error(f"{lost[0]} Or run with engine=py.")


def _difference(graph: Graph, model: nn.Module) -> str:
    """How the model of a decided graph differs from the one it should be; empty if it does not."""
    twin_graph = graph.copy()
    drop_placeholders(twin_graph)
    with quiet(), torch.device("meta"):
        twin = load_source(generate(twin_graph), twin_graph.tensors).build()
    for facts, labels in ((_layers, and_), (_numbers, and_), (_tensors, or_)):
        ours, theirs = facts(twin), facts(model)
        for name in sorted(labels(ours.keys(), theirs.keys())):
            if (here := ours.get(name, "not there")) != (there := theirs.get(name, "not there")):
                return f"Its {name!r} is {there}, and in its graph {here}."
    return ""


def _tensors(model: nn.Module) -> dict[str, str]:
    """The tensors in a model's state_dict, by what they are."""
    return {
        name: f"{str(value.dtype).removeprefix('torch.')}{[*value.shape]}"
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }


def _numbers(model: nn.Module) -> dict[str, str]:
    """Numbers and texts that modules of the user's hold, and tuples and lists of them."""
    return {
        f"{path}.{name}" if path else name: repr(value)
        for path, module in model.named_modules()
        if not type(module).__module__.startswith("torch.")
        for name, value in vars(module).items()
        if name != "training" and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if type(value) in (tuple, list):
        return all(map(_is_plain, value))  # type: ignore[call-overload]
    return type(value) in (bool, int, float, str)


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
