"""The graph of a space whose choices are symbolic."""

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import and_, or_
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.config.instantiate import build
from runner.engines.conversion_log import ConversionLog
from runner.engines.example import Example
from runner.engines.model_space import build_sample, quiet
from runner.errors import ConfigError, Refused, RunnerError, one_line
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert as read
from runner.graph.frontend.frontends import AUTO
from runner.graph.frontend.live_modules.kept_modules import Keep, class_name
from runner.graph.interpreter.threads import single_threaded
from runner.graph.ir.graph import Graph
from runner.graph.ir.symbolic import asked_together
from runner.graph.transforms.mutator import drop_placeholders
from runner.graph.transforms.resolve_choices import Resolver, decided
from runner.graph.validation.equivalence import CannotRun
from runner.graph.validation.translation_validation import ValidationOutcome, validate
from runner.graph.validation.validated_conversion import converted, keep_more
from runner.nn.equality import differences
from runner.nn.recording.construction_record import recording
from runner.nn.symbolic import symbolic
from runner.space.choice import JsonValue, key
from runner.space.sample import Sample, lookup

log = logging.getLogger(__name__)

FLOATS = 8  # validated values of a continuous range
COMBINATIONS = 16  # validated ones of choices that a branch depends on together
SOME = "another number"  # represents all others


@final
class SymbolicGraph:
    """The graph of a space with symbolic choices, or, if the model's Python depends on the value of
    a choice, one graph per sample.

    Resolved graphs are validated against the model that the space's own Python builds, in structure
    and on an example, whenever a sample has a value that was not validated before, or one of the
    first combinations of values that a branch of the model depends on.
    """

    def __init__(
        self,
        node: Mapping[str, Any],
        trust: Sequence[str],
        example: Example | None = None,
        frontend: str = AUTO,
    ) -> None:
        self._node = node
        self._trust = trust
        self._example = example or Example(None)
        self.graph: Graph | None = None  # with symbolic choices; None if there is none
        self._per_sample = False  # whether choices cannot be symbolic
        self._frontend = frontend
        self._keep = Keep(by=class_name)  # modules that front ends misread
        self._log = ConversionLog(str(node["_target_"]))
        self._validated: set[tuple[str, str]] = set()  # labels and values already validated
        self._together: set[frozenset[str]] = set()  # labels on which a branch depends together

    def resolved(self, sample: Sample) -> Graph:
        """Returns the graph of a sample; it must be copied before it is modified."""
        if self.graph is None and not self._per_sample:
            with gc_disabled():
                self._convert()
        while self.graph is not None:
            graph = self._resolver.decided(lookup(sample))
            if self._agrees(graph, sample):
                return graph
        return decided(self._convert_sample(sample), lookup(sample))

    def _convert(self) -> None:
        """Converts the space once, with symbolic choices, if possible."""
        self.graph = None
        try:
            with quiet(), symbolic(defaults="last"):
                other = self._build()
            with quiet(), symbolic():
                model = self._build()
            if paths := differences(model, other):
                place = f"The module at {paths[0]!r}" if paths[0] else "Its constructor"
                self._give_up(f"{place} depends on a choice in a way that cannot be represented.")
            else:
                with quiet():
                    self.graph = read(model, self._keep, self._frontend)
                    self._resolver = Resolver(self.graph)
                    self._together = asked_together(self.graph)
        except Refused as refused:
            self._give_up(
                f"The sample of its first or of its last candidates is refused: {refused}"
            )
        except Exception as error:
            self._give_up(one_line(error))
        if self.graph is not None:
            _check_nothing_lost(self.graph)

    def _convert_sample(self, sample: Sample) -> Graph:
        """Converts the model of one sample. This happens outside any build context, so that a class
        is used unchanged only if it builds the same without a sample.

        Raises ConfigError if the graph computes something else than the model; Refused if earlier
        graphs were correct.
        """
        with quiet(), recording():
            model = build_sample(self._node, self._trust, sample)
        pairs = self._unvalidated(sample)
        inputs = self._example.inputs if pairs else None

        def check(graph: Graph) -> ValidationOutcome:
            return validate(decided(graph, lookup(sample)), model, *(inputs or ()))

        with quiet(), single_threaded():
            graph = (
                read(model, self._keep, self._frontend)
                if inputs is None
                else converted(model, self._keep, check, self._frontend)
            )
        _check_nothing_lost(graph, Refused if self._validated else ConfigError)
        self._validated |= pairs
        return graph

    def _give_up(self, why: str) -> None:
        self.graph, self._per_sample = None, True
        self._together = set()
        self._keep = Keep(by=class_name)  # the mismatch may have depended on a choice
        log.info(
            "%s is rebuilt and converted for every sample, which takes longer, because its Python "
            "depends on the values of choices. %s", self._node["_target_"], why,
        )  # fmt: skip

    def _unvalidated(self, sample: Sample) -> set[tuple[str, str]]:
        """Returns the labels and values of a sample that were not validated; labels that a branch
        depends on together count as another one, for the first of its values."""
        forms = {label: self._validated_form(label, value) for label, value in sample.items()}
        pairs = {*forms.items()} or {("", "")}
        for labels in self._together:
            if labels <= forms.keys():
                both = " and ".join(sorted(labels))
                if sum(held == both for held, _ in self._validated) < COMBINATIONS:
                    pairs.add((both, " and ".join(forms[label] for label in sorted(labels))))
        return pairs - self._validated

    def _validated_form(self, label: str, value: JsonValue) -> str:
        """Returns a value as it is validated: itself, or a placeholder after the first few values
        of a continuous range."""
        exact = key(value)
        if not isinstance(value, float) or (label, exact) in self._validated:
            return exact
        seen = sum(held == label for held, _ in self._validated)
        return exact if seen < FLOATS else SOME

    def _agrees(self, graph: Graph, sample: Sample) -> bool:
        """Validates a resolved graph against the space's own Python. On a mismatch, the space is
        converted again with more modules kept, or for each sample."""
        unseen = self._unvalidated(sample)
        if not unseen:
            return True
        try:
            model = self._python_model(sample)
            problem = _difference(graph, model)
        except Exception as error:  # its Python fails without values, or on this machine
            self._log.warn(
                "Graphs of %s are not compared with the models that its Python builds, because "
                "that failed: %s", one_line(error),
            )  # fmt: skip
            self._validated |= unseen
            return True
        if problem:
            self._give_up(problem)
        elif self._computes_the_same(graph, model):
            self._validated |= unseen
            return True
        return False

    def _computes_the_same(self, graph: Graph, model: nn.Module) -> bool:
        """Returns whether a graph and its model have equal results on the example, if known."""
        inputs = self._example.inputs
        if inputs is None:
            self._log.warn("Graphs of %s were not validated: %s", _NO_SHAPE)
            return True
        try:
            with quiet(), single_threaded():
                outcome = validate(graph, model, *inputs, same_buffers=True)
        except CannotRun as error:
            shapes = ", ".join(str([*each.shape]) for each in inputs if isinstance(each, Tensor))
            why = f"it does not run on an example {shapes}: {error}"
            self._log.warn("Graphs of %s were not validated, because %s", why)
            return True
        if not outcome.mismatches:
            if outcome.skipped:
                self._log.warn(
                    "Graphs of %s were validated in eval mode only, because %s", outcome.skipped
                )
            return True
        if keep_more(self._keep, outcome):
            with gc_disabled():
                self._convert()
        else:
            self._give_up(f"Its graph has different results: {outcome.mismatches[0].text}.")
        return False

    def _python_model(self, sample: Sample) -> nn.Module:
        """Builds a sample's model with the space's own Python: with values if there is an example
        to run it on, otherwise on meta if possible."""
        if self._example.shape is not None:
            return self._built(sample, "cpu")
        try:
            return self._built(sample, "meta")
        except Exception:  # code that reads values, which meta tensors do not have
            return self._built(sample, "cpu")

    def _built(self, sample: Sample, device: str) -> nn.Module:
        with quiet(), torch.device(device):
            return build_sample(self._node, self._trust, sample)

    def _build(self) -> nn.Module:
        model: nn.Module = build(self._node, self._trust)
        return model


_NO_SHAPE = "the shape of an example is unknown; set engine.shape."


def _check_nothing_lost(graph: Graph, error: type[RunnerError] = ConfigError) -> None:
    """Raises an error for a graph that differs from its model."""
    if lost := [note for note in graph.notes if note.lost]:
        raise error(f"{lost[0]} Or run with engine=py.")


def _difference(graph: Graph, model: nn.Module) -> str:
    """Returns how the model of a resolved graph differs from the expected one; empty if equal."""
    complete = graph.copy()
    drop_placeholders(complete)
    with quiet(), torch.device("meta"):
        generated = load_source(generate(complete), complete.tensors).build()
    for facts, labels in ((_layers, and_), (_numbers, and_), (_tensors, or_)):
        ours, theirs = facts(generated), facts(model)
        for name in sorted(labels(ours.keys(), theirs.keys())):
            if (here := ours.get(name, "missing")) != (there := theirs.get(name, "missing")):
                return f"Its {name!r} is {there}, but {here} in its graph."
    return ""


def _tensors(model: nn.Module) -> dict[str, str]:
    """Returns the dtypes and shapes of the tensors in a model's state_dict."""
    return {
        name: f"{str(value.dtype).removeprefix('torch.')}{[*value.shape]}"
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }


def _numbers(model: nn.Module) -> dict[str, str]:
    """Returns the numbers and strings, also in tuples and lists, that user modules hold."""
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
    """Returns the `repr` of each torch.nn layer in a model."""
    return {
        path: repr(module)
        for path, module in model.named_modules()
        if type(module).__module__.startswith("torch.nn.") and not any(module.children())
        if not isinstance(module, nn.Identity)  # the other model has a Placeholder there
    }


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Disables Python's garbage collector, which would repeatedly scan thousands of new modules and
    find nothing to free."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
