"""A decided graph is held against what the space's own Python makes."""

import logging

import pytest
import torch

from runner.config.instantiate import build
from runner.engines.symbolic_graph import SymbolicGraph, _difference
from runner.graph.ir.unit import Weight
from runner.nn import sample as building

NODE = {"_target_": "mutable.ConvNet"}


def test_a_graph_that_nothing_can_be_held_against_is_used_and_that_is_said_once(
    monkeypatch, caplog
):
    def fails(self, sample):
        raise RuntimeError("no values on meta")

    monkeypatch.setattr(SymbolicGraph, "_python_model", fails)
    space = SymbolicGraph(NODE, ["mutable"])
    with caplog.at_level(logging.WARNING):
        graphs = [space.resolved({"width": width}) for width in (4, 6)]
    assert [graph.unit("stem").call.args[1] for graph in graphs] == [4, 6]
    [record] = caplog.records
    assert record.message == (
        "Graphs of mutable.ConvNet are not compared with the models that its Python builds, "
        "because that failed: RuntimeError: no values on meta"
    )


@pytest.fixture
def pair():
    """A graph, and the model it is of."""
    sample = {"width": 4}
    graph = SymbolicGraph(NODE, ["mutable"]).resolved(sample).copy()
    with building(sample), torch.device("meta"):
        return graph, build(NODE, ["mutable"])


def test_equal_models_do_not_differ(pair):
    assert _difference(*pair) == ""


def test_a_dtype_makes_a_difference(pair):
    graph, model = pair
    model.register_buffer("steps", torch.zeros(3, dtype=torch.float64))
    assert _difference(graph, model) == "Its 'steps' is float64[3], but missing in its graph."
    graph.root.buffers["steps"] = Weight((3,))
    graph.root.changed = True
    assert _difference(graph, model) == "Its 'steps' is float64[3], but float32[3] in its graph."
