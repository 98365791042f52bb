"""The source of a model that is built already, with all choices made: for engine=py."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from runner.engines.compiler import Compiler
from runner.engines.engine import ModelSource
from runner.engines.example import Example
from runner.engines.model_space import build_sample, quiet
from runner.engines.standalone import check_standalone
from runner.errors import ConfigError, GraphError, RunnerError, message
from runner.graph.class_source.called_values import may_call
from runner.graph.codegen.carried_source.packages import is_own
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import save_tensors
from runner.graph.interpreter.threads import single_threaded
from runner.graph.ir.graph import Graph
from runner.graph.transforms.mutator import drop_placeholders
from runner.graph.validation.equivalence import OWN
from runner.graph.validation.validated_conversion import convert
from runner.nn.recording.construction_record import KEY, record_of, recording
from runner.nn.values.value import is_decided
from runner.space.sample import Sample


def written_model(
    node: Mapping[str, Any], trust: Sequence[str], sample: Sample, example: Example
) -> ModelSource:
    """Returns standalone source of the model that the space of a config node builds for a sample,
    validated on an example if there is one. Raises ConfigError if there is none.

    If the model as it is built has none, for example because of an `nn.Cell`, it is taken from the
    graph of the space, as engine=base does.
    """
    try:
        return _written(node, trust, sample, example)
    except ConfigError as error:
        space = Compiler(node, (), trust, example.shape)
        try:
            return space.source(sample, standalone=True)
        except RunnerError:
            raise error from None


def _written(
    node: Mapping[str, Any], trust: Sequence[str], sample: Sample, example: Example
) -> ModelSource:
    with quiet(), recording():
        model = build_sample(node, trust, sample)
    _make_plain(model)
    try:
        graph = _graph(model, example)
        source = ModelSource(generate(graph, standalone=True), save_tensors(graph) or None)
    except GraphError as error:
        text = message(error)
        for advice in (", or run with engine=py", " Or run with engine=py."):
            text = text.replace(advice, "")  # it is what is run
        raise ConfigError(f"The model cannot be written as source: {text}") from error
    check_standalone(source.text, graph, None)
    return source


def _make_plain(model: nn.Module) -> None:
    """Replaces values of choices by plain ones, which cannot be called, in modules whose classes
    call none."""
    calls: Callable[[Any], bool] = functools.cache(may_call)
    for module in model.modules():
        if is_own(type(module).__module__) and calls(type(module)):
            continue
        for name, value in [*vars(module).items()]:
            if name != KEY and name not in OWN:
                vars(module)[name] = _plain(value)
        if (record := record_of(module)) is not None:
            record.args = tuple(map(_plain, record.args))
            record.kwargs = {name: _plain(value) for name, value in record.kwargs.items()}


def _plain(value: Any) -> Any:
    if is_decided(value):
        return value()
    kind = type(value)
    if kind in (tuple, list) and any(is_decided(item) for item in value):
        return kind(map(_plain, value))
    return value


def _graph(model: nn.Module, example: Example) -> Graph:
    with quiet(), single_threaded():
        graph = convert(model, *(example.inputs or ()))
    drop_placeholders(graph)
    if lost := [note for note in graph.notes if note.lost]:
        raise GraphError(str(lost[0]))
    return graph
