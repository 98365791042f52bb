"""The source of a model that is built already, with all choices made: for engine=py."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from runner.engines.engine import ModelSource
from runner.engines.example import Example
from runner.engines.model_space import build_sample, quiet
from runner.engines.standalone import check_standalone
from runner.errors import ConfigError, GraphError, message
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import save_tensors
from runner.graph.interpreter.threads import single_threaded
from runner.graph.ir.graph import Graph
from runner.graph.transforms.mutator import drop_placeholders
from runner.graph.validation.validated_conversion import convert
from runner.nn.recording.construction_record import recording
from runner.space.sample import Sample


def written_model(
    node: Mapping[str, Any], trust: Sequence[str], sample: Sample, example: Example
) -> ModelSource:
    """Returns standalone source of the model that the space of a config node builds for a sample,
    validated on an example if there is one. Raises ConfigError if there is none."""
    with quiet(), recording():
        model = build_sample(node, trust, sample)
    try:
        graph = _graph(model, example)
        source = ModelSource(generate(graph, standalone=True), save_tensors(graph) or None)
    except GraphError as error:
        raise ConfigError(f"The model cannot be written as source: {message(error)}") from error
    check_standalone(source.text, graph, None)
    return source


def _graph(model: nn.Module, example: Example) -> Graph:
    with quiet(), single_threaded():
        graph = convert(model, *(example.inputs or ()))
    drop_placeholders(graph)
    if lost := [note for note in graph.notes if note.lost]:
        raise GraphError(str(lost[0]))
    return graph
