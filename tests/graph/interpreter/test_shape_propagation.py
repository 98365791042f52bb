"""Shapes without data: what they are, and how a mismatch is told."""

import handmade
import pytest
import torch
from torch import nn

from runner.errors import GraphError
from runner.graph import convert, recording
from runner.graph.interpreter.shape_propagation import propagate
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Parameter, Spec
from runner.graph.ir.unit import Edit, Ref, Unit


def of(function: Function, **children: Unit) -> Graph:
    root = Unit("graph", Ref("net:Net"))
    root.define(function)
    for name, unit in children.items():
        root.set_child(name, unit)
    return Graph(root)


def test_every_value_has_its_shape():
    graph = handmade.net_graph()
    shapes = propagate(graph, torch.zeros(2, 3, 8, 8))
    forward = graph.root.functions["forward"]
    assert forward.inputs[0].spec == Spec((2, 3, 8, 8))
    assert forward.inputs[1].spec is None
    assert forward.result.spec == Spec((2, 4))
    block = graph.unit("layer2.0").functions["forward"]
    assert str(block.result.spec) == "float32[2, 16, 4, 4]"
    assert shapes.stopped == ""
    assert shapes.result == Spec((2, 4))
    assert shapes.specs["layer2.0"][block.result] == Spec((2, 16, 4, 4))


def test_a_spec_does_for_an_input():
    graph = handmade.net_graph()
    assert propagate(graph, Spec((7, 3, 16, 16)), flip=True).result == Spec((7, 4))


def test_the_second_time_is_as_the_first():
    graph = handmade.net_graph()
    first = propagate(graph, Spec((2, 3, 8, 8)))
    assert propagate(graph, Spec((2, 3, 8, 8))) == first
    assert propagate(graph, Spec((4, 3, 8, 8))).result == Spec((4, 4))


def test_a_function_of_two_units_has_specs_by_unit():
    twin = handmade.block_unit(8, 8)
    graph = handmade.net_graph()
    graph.unit("layer1.0").functions["forward"] = twin.functions["forward"]
    graph.unit("layer1.1").functions["forward"] = twin.functions["forward"]
    propagate(graph, Spec((2, 3, 8, 8)))
    assert twin.functions["forward"].result.spec == Spec((2, 8, 8, 8))
    function = Function("forward", [Parameter("x")])
    function.result = function.call_function("torch:relu", function.inputs[0])
    units = [Unit("graph", Ref("net:A")) for _ in range(2)]
    for unit in units:
        unit.functions["forward"] = function
    root = handmade.sequential(units[0], Unit.of("torch.nn:Flatten"), units[1])
    shapes = propagate(Graph(root), Spec((2, 3, 4)))
    assert function.result.spec is None
    assert [shapes.specs[p][function.result].shape for p in "02"] == [(2, 3, 4), (2, 12)]


def message(graph: Graph, *inputs) -> str:
    with pytest.raises(GraphError) as caught:
        propagate(graph, *inputs)
    return str(caught.value)


def test_a_module_that_does_not_fit_is_told_with_place_and_shapes():
    graph = handmade.net_graph()
    graph.unit("layer1.1.conv2").set_argument("in_channels", 5)
    text = message(graph, Spec((2, 3, 8, 8)))
    assert text.startswith(
        "layer1.1, forward (net.py:12): layer1.1.conv2 (Conv2d(5, 8, kernel_size=(3, 3), "
        "stride=(1, 1), padding=(1, 1), bias=False)) got float32[2, 8, 8, 8]: "
    )
    assert text.count(". ") == 0


def test_a_function_that_does_not_fit_is_told_with_place_and_shapes():
    graph = handmade.net_graph()
    graph.unit("layer1.1.conv2").set_argument("out_channels", 5)
    graph.unit("layer1.1.bn2").set_argument("num_features", 5)
    text = message(graph, Spec((2, 3, 8, 8)))
    assert text.startswith(
        "layer1.1, forward (net.py:15): operator:iadd got float32[2, 5, 8, 8], float32[2, 8, 8, 8]:"
    )
    assert "\n" not in text


def test_a_mismatch_in_a_sequence_is_told_by_its_place():
    root = handmade.sequential(Unit.of("torch.nn:Linear", 3, 4), Unit.of("torch.nn:Linear", 5, 1))
    assert "float32[2, 3]" in message(Graph(root), Spec((2, 3)))


def test_what_the_model_raises_is_told():
    f = Function("forward", [Parameter("x")])
    f.create("raise", "builtins:ValueError", ["bad width"], outputs=[])
    assert "bad width" in message(of(f), Spec((2, 3)))


@pytest.mark.parametrize(
    "ask",
    [
        lambda f, x: f.call_method("item", f.call_method("sum", x)),
        lambda f, x: f.call_method("tolist", x),
        lambda f, x: f.call_function("torch:nonzero", x),
        lambda f, x: f.call_function("operator:getitem", x, f.call_function("operator:gt", x, 0)),
        lambda f, x: f.call_function("builtins:float", f.call_method("sum", x)),
        lambda f, x: f.call_function("builtins:bool", f.call_method("sum", x)),
        lambda f, x: f.call_method("numpy", x),
    ],
)
def test_where_the_data_decides_it_stops_and_says_so(ask):
    f = Function("forward", [Parameter("x")])
    x = f.call_function("torch:relu", f.inputs[0])
    f.result = ask(f, x)
    shapes = propagate(of(f), Spec((2, 3)))
    assert shapes.stopped.startswith("the model, forward: ")
    assert shapes.result is None
    assert x.spec == Spec((2, 3))


def test_a_condition_on_data_stops_it_too():
    f = Function("forward", [Parameter("x")])
    test = f.call_function("operator:gt", f.call_method("sum", f.inputs[0]), 0)
    branch = f.create("if", "", [test], outputs=[])
    branch.add_block()
    branch.add_block()
    f.result = f.inputs[0]
    assert "if got" in propagate(of(f), Spec((2, 3))).stopped


class Drops(nn.Module):
    """Reads data while it is built, as stochastic depth does."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, depth)]
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(x)


def test_a_unit_that_reads_data_while_it_is_built_is_built_elsewhere(monkeypatch):
    monkeypatch.setattr(handmade, "Drops", Drops, raising=False)
    state = torch.get_rng_state()
    root = handmade.sequential(Unit.of("handmade:Drops", 3))
    assert propagate(Graph(root), Spec((2, 3))).result == Spec((2, 3))
    assert torch.equal(torch.get_rng_state(), state)


def test_an_edit_from_above_reaches_only_its_own_unit():
    plain = handmade.sequential(Unit.of("torch.nn:MaxPool2d", 2))
    edited = handmade.sequential(Unit.of("torch.nn:MaxPool2d", 2))
    edited.edits = [Edit.at(edited, "0", "ceil_mode", True)]
    for root, size in [(plain, 2), (edited, 3), (plain, 2)]:
        assert propagate(Graph(root), Spec((1, 1, 5, 5))).result == Spec((1, 1, size, size))


def test_several_outputs_have_their_shapes():
    f = Function("forward", [Parameter("x")])
    both = f.create("call_module", "rnn", [f.inputs[0]], outputs=["out", "state"])
    h, c = f.create("unpack", "", [both.outputs[1]], outputs=["h", "c"]).outputs
    f.result = (both.outputs[0], h, c)
    for _ in range(2):
        propagate(of(f, rnn=Unit.of("torch.nn:LSTM", 8, 16)), Spec((5, 2, 8)))
        assert [v.spec.shape for v in f.result] == [(5, 2, 16), (1, 2, 16), (1, 2, 16)]


class Transposed(nn.Module):
    """Makes images larger, by a layer and by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ConvTranspose2d(3, 4, 2)
        self.weight = nn.Parameter(torch.zeros(4, 5, 2, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv_transpose2d(self.layer(x), self.weight)


@pytest.mark.parametrize(("name", "value"), [("in_channels", 7), ("out_channels", 7)])
def test_a_transposed_convolution_takes_its_own_channels_only(name, value):
    with recording():
        graph = convert(Transposed())
    assert propagate(graph, Spec((2, 3, 4, 4))).result.shape == (2, 5, 6, 6)
    graph.unit("layer").set_argument(name, value)
    with pytest.raises(GraphError, match="a transposed convolution with a weight of"):
        propagate(graph, Spec((2, 3, 4, 4)))
