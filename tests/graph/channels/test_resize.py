"""Widths: what changes together, what follows, and what cannot change."""

import passed
import pytest
import torch
import widening
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from runner.errors import GraphError
from runner.graph import convert, generate, propagate, recording
from runner.graph.channels.resize import Resizing
from runner.graph.channels.write_back import apply
from runner.graph.codegen.load import load_source
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.node import Spec

SHAPE = (3, 8, 8)


def graph_of(cls: type[nn.Module]) -> Graph:
    with recording():
        graph = convert(cls())
    graph.example = SHAPE
    return graph


def coupled(cls: type[nn.Module], path: str) -> set[str]:
    """What changes together with the layer at a path, in short."""
    resizing = Resizing(graph_of(cls))
    [source] = resizing.sources(path)
    return {f"{s.path}.{s.name}".strip(".") for s in resizing.coupled(source)}


def scaled(cls: type[nn.Module], factors: dict[str, float]) -> tuple[Graph, nn.Module]:
    """A graph with some widths scaled, and the model it makes."""
    graph = graph_of(cls)
    resizing = Resizing(graph)
    wanted = {}
    for path, factor in factors.items():
        [source] = resizing.sources(path)
        wanted |= {s: int(s.size * factor) for s in resizing.coupled(source)}
    apply(graph, resizing.fit(wanted))
    lint(graph, decided=True)
    return graph, load_source(generate(graph), graph.tensors).build()


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if value.dim()}


def trains(model: nn.Module) -> bool:
    """Whether a model runs in both modes and all of its parameters get a gradient."""
    x = torch.randn(4, *SHAPE)
    model.eval()(x)
    model.train()(x).sum().backward()
    return all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("cls", "path", "together"),
    [
        (widening.Residual, "stem", {"stem", "outer", "gate.1"}),
        (widening.Residual, "outer", {"stem", "outer", "gate.1"}),
        (widening.Residual, "inner", {"inner"}),
        (widening.Depthwise, "expand", {"expand"}),
        (widening.Depthwise, "grouped", {"grouped"}),
        (widening.Concat, "left", {"left"}),
        (widening.Concat, "mix", {"mix"}),
        (widening.Attention, "embed", {"embed", "place", "scale", "proj"}),
        (widening.Attention, "qkv", {"qkv"}),
        (widening.Shared, "one", {"one", "two"}),
        (widening.Shared, "both", {"both"}),
        (widening.Custom, "embed", {"embed"}),
        (widening.Encoded, "out", {"out"}),
        (widening.Recurrent, "embed", {"embed"}),
        (widening.Recurrent, "lstm", {"lstm"}),
        (widening.Opaque, "layers.0", {"layers.0", "layers.2", "bias"}),
    ],
)
def test_what_meets_changes_together(cls, path, together):
    assert coupled(cls, path) == together


@pytest.mark.parametrize("path", ["norm", "gate.0"])
def test_a_layer_whose_input_sets_its_output_has_no_width(path):
    assert Resizing(graph_of(widening.Residual)).sources(path) == []


def test_a_pool_has_no_width():
    assert Resizing(graph_of(widening.Pooled)).sources("pool") == []


def test_a_depthwise_convolution_has_no_width():
    assert Resizing(graph_of(widening.Depthwise)).sources("depth") == []


def test_a_width_that_is_the_models_own_is_refused():
    with pytest.raises(GraphError, match=r"would return \[5, 10\] instead of \[5, 5\]"):
        coupled(widening.Residual, "head")


def test_a_width_that_is_added_to_the_input_is_refused():
    with pytest.raises(GraphError, match="operator:add") as caught:
        coupled(widening.Written, "skip")
    assert "float32[5, 6, 8, 8]" in str(caught.value)
    assert "is an input of the model" in str(caught.value)


def test_all_that_depends_on_a_width_follows():
    _, model = scaled(widening.Residual, {"stem": 0.5, "inner": 2})
    assert shapes(model) == {
        "stem.weight": (4, 3, 3, 3),
        "stem.bias": (4,),
        "norm.weight": (4,),
        "norm.bias": (4,),
        "norm.running_mean": (4,),
        "norm.running_var": (4,),
        "inner.weight": (32, 4, 1, 1),
        "inner.bias": (32,),
        "outer.weight": (4, 32, 1, 1),
        "outer.bias": (4,),
        "gate.1.weight": (4, 4, 1, 1),
        "gate.1.bias": (4,),
        "head.weight": (5, 4),
        "head.bias": (5,),
    }
    assert trains(model)


def test_depthwise_and_grouped_convolutions_and_a_flattened_head_follow():
    _, model = scaled(widening.Depthwise, {"expand": 2 / 3, "grouped": 1.5})
    assert model.depth.groups == model.depth.in_channels == model.depth.out_channels == 8
    assert (model.act.num_parameters, model.grouped.in_channels) == (8, 8)
    assert (model.grouped.out_channels, model.grouped.groups) == (36, 4)
    assert model.head.in_features == 36 * 36
    assert trains(model)


def test_groups_that_no_longer_divide_become_fewer():
    _, model = scaled(widening.Depthwise, {"expand": 0.5})
    assert (model.grouped.in_channels, model.grouped.groups) == (6, 2)
    assert trains(model)


def test_a_concatenation_and_its_halves_follow():
    _, model = scaled(widening.Concat, {"left": 0.5, "mix": 0.5})
    assert (model.norm.num_features, model.mix.in_channels, model.head.in_features) == (8, 8, 4)
    assert trains(model)


def test_numbers_in_code_follow():
    graph, model = scaled(widening.Attention, {"qkv": 0.5})
    assert model.qkv.out_features == 18
    assert model.proj.in_features == 6
    assert "self.head_dim = 2" in generate(graph)
    assert trains(model)


def test_parameters_follow_with_first_values_of_their_size():
    _, model = scaled(widening.Attention, {"embed": 0.5})
    assert model.place.shape == (1, 4, 6)
    assert model.scale.tolist() == pytest.approx([0.1] * 6)
    assert (model.qkv.in_features, model.qkv.out_features) == (6, 36)
    assert trains(model)


def test_a_layer_of_ones_own_is_made_anew_by_its_constructor():
    graph, model = scaled(widening.Custom, {"embed": 2})
    assert "Scale(20, value=0.25)" in generate(graph)
    assert model.scale.gamma.tolist() == [0.25] * 20
    assert model.scale.seen.shape == (20,)
    assert trains(model)


def test_a_shared_layer_keeps_one_width():
    _, model = scaled(widening.Shared, {"one": 0.5, "both": 2})
    assert (model.both.in_channels, model.both.out_channels) == (3, 8)
    assert trains(model)


def test_a_width_that_code_does_not_want_is_refused_in_its_words():
    with pytest.raises(GraphError, match="eight channels are wanted"):
        scaled(widening.Written, {"conv": 0.5})


def test_nothing_changes_where_nothing_is_wanted():
    graph = graph_of(widening.Residual)
    before = generate(graph)
    resizing = Resizing(graph)
    [source] = resizing.sources("stem")
    apply(graph, resizing.fit({source: source.size}))
    assert generate(graph) == before
    assert not any(unit.mutated for _, unit in graph.units())


def test_a_width_of_a_tied_parameter_is_refused():
    graph = graph_of(widening.Tied)
    resizing = Resizing(graph)
    [source] = resizing.sources("one")
    apply(graph, resizing.fit({source: 2 * source.size}))
    with pytest.raises(
        GraphError, match=r"two\.weight and one\.weight are one tensor, but would have shapes"
    ):
        propagate(graph, Spec((5, *SHAPE)))


FACTORS = st.sampled_from([0.5, 1, 1.5, 2])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("cls", widening.MODELS)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_random_widths_that_fit_train_and_others_are_refused(cls, data):
    graph = graph_of(cls)
    resizing = Resizing(graph)
    wanted = {}
    for path, _ in graph.units():
        for source in resizing.sources(path):
            if source in wanted or path == "head":
                continue
            factor = data.draw(FACTORS, label=path)
            wanted |= {s: int(s.size * factor) for s in resizing.coupled(source)}
    try:
        apply(graph, resizing.fit(wanted))
    except GraphError as error:
        assert len(str(error)) > 20
        return
    lint(graph, decided=True)
    model = load_source(generate(graph), graph.tensors).build()
    assert trains(model)
    made = {name: value.shape for name, value in model.state_dict().items()}
    for source, size in wanted.items():
        if source.kind == "layer" and cls is not widening.Recurrent:
            assert size in made[f"{source.path}.weight"][:2]  # of a transposed one the second


def test_widths_are_followed_through_a_unit_that_is_passed_on():
    resizing = Resizing(passed.passing_graph())
    [source] = resizing.sources("stem")
    fit = resizing.fit({source: 12})
    assert fit.layers == {"stem": {("out_features",): 12}, "block.0": {("in_features",): 12}}
