"""What was done to layers behind their constructors is done again, or said."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm

from runner import nn as space
from runner.errors import GraphError
from runner.graph import convert, generate, recording
from runner.graph.codegen.load import load_source
from runner.graph.ir.lint import lint
from runner.nn.symbolic import symbolic


def mask(self):
    self.layer.register_buffer("mask", torch.ones(4, 4))


def mask_of_numbers(self):
    self.layer.register_buffer("mask", torch.arange(100).reshape(10, 10))


def mask_that_is_not_saved(self):
    self.layer.register_buffer("mask", torch.ones(2), persistent=False)


def factor(self):
    self.layer.A = nn.Parameter(torch.zeros(4, 2))


def frozen_factor(self):
    self.layer.A = nn.Parameter(torch.zeros(4, 2, dtype=torch.float64), requires_grad=False)


def scalar(self):
    self.layer.scale = nn.Parameter(torch.ones(()))


def drawn_factors(self):
    self.layer.A = nn.Parameter(torch.empty(4, 2))
    nn.init.kaiming_uniform_(self.layer.A)
    self.layer.B = nn.Parameter(torch.randn(2, 4))
    nn.init.normal_(self.layer.weight)


def copy_of_weight(self):
    self.layer.register_buffer("first", self.layer.weight.detach().clone())


def weight_of_another(self):
    self.layer.A = self.after.weight


def bias(self):
    self.layer.bias = nn.Parameter(torch.zeros(4))


def statistics_not_saved(self):
    self.layer.register_buffer("running_mean", torch.zeros(4), persistent=False)


def mask_inside_attention(self):
    self.attention = nn.MultiheadAttention(4, 2)
    self.attention.out_proj.register_buffer("mask", torch.ones(2))


def mask_in_container(self):
    self.layer[0].register_buffer("mask", torch.ones(2))


def mask_and_attribute(self):
    self.layer.eps = 0.5
    self.layer.register_buffer("mask", torch.ones(2))


def mask_on_normalized(self):
    self.layer = parametrizations.weight_norm(self.layer)
    self.layer.register_buffer("mask", torch.ones(2))


def old_spectral_norm(self):
    self.last = nn.Linear(4, 4)


def filled_then_weight_norm(self):
    nn.init.orthogonal_(self.layer.weight)
    self.layer = parametrizations.weight_norm(self.layer)
    self.last = nn.Linear(4, 4)


def filled_and_weight_norm_of_other_dimension(self):
    nn.init.orthogonal_(self.layer.weight)
    self.layer = parametrizations.weight_norm(self.layer, dim=None)
    nn.init.zeros_(self.layer.bias)


def weight_norm_then_filled(self):
    self.layer = parametrizations.weight_norm(self.layer)
    nn.init.normal_(self.layer.parametrizations.weight.original1)


LAYERS = {
    bias: lambda: nn.Linear(4, 4, bias=False),
    statistics_not_saved: lambda: nn.BatchNorm1d(4),
    mask_and_attribute: lambda: nn.BatchNorm1d(4),
    old_spectral_norm: lambda: spectral_norm(nn.Linear(4, 4)),
    mask_in_container: lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU()),
}


class Model(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.layer = LAYERS.get(change, lambda: nn.Linear(4, 4))()
        self.after = nn.Linear(4, 4)
        change(self)

    def forward(self, x):
        return self.after(self.layer(x))


def model_of(change):
    torch.manual_seed(0)
    with recording():
        return Model(change)


def kept(model):
    state = {**dict(model.named_buffers()), **model.state_dict()}
    return state, [*model.state_dict()], {n: p.requires_grad for n, p in model.named_parameters()}


EXACT = [
    mask, mask_of_numbers, mask_that_is_not_saved, factor, frozen_factor, scalar, drawn_factors,
    copy_of_weight, weight_of_another, bias, statistics_not_saved, mask_inside_attention,
    mask_in_container, mask_and_attribute, mask_on_normalized, old_spectral_norm,
    filled_then_weight_norm, filled_and_weight_norm_of_other_dimension, weight_norm_then_filled,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("change", EXACT, ids=lambda change: change.__name__)
def test_source_does_what_was_done_behind_constructors_seed_for_seed(change):
    model = model_of(change)
    graph = convert(model)
    assert graph.root.grade == "graph"
    assert graph.notes == []
    lint(graph)
    written = graph.copy()
    written.root.changed = True  # so that its class is written out
    for one in (graph, written):
        torch.manual_seed(0)
        built = load_source(generate(one), one.tensors).build()
        (state, names, trained), (expected, *others) = kept(built), kept(model)
        assert [names, trained] == others
        assert state.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(state[name], tensor, rtol=0, atol=0, msg=name)
        assert getattr(built.layer, "eps", None) == getattr(model.layer, "eps", None)


def test_what_is_drawn_for_a_layer_before_others_are_made_is_said():
    def change(self):
        self.layer.A = nn.Parameter(torch.randn(4, 2))
        self.last = nn.Linear(4, 4)

    model = model_of(change)
    graph = convert(model)
    [note] = graph.notes
    assert "'A', which was added to it after construction, is drawn after all layers" in str(note)
    built = load_source(generate(graph), graph.tensors).build()
    assert [*built.state_dict()] == [*model.state_dict()]
    assert built.layer.A.std() > 0


def child(self):
    self.layer.add_module("g", nn.Linear(2, 2))


def buffer_for_parameter(self):
    del self.layer.bias
    self.layer.register_buffer("bias", torch.ones(4))


def no_parameter(self):
    del self.layer.bias
    self.layer.bias = 0.0


class Changes(nn.Module):
    """Its constructor makes it again."""

    def __init__(self, change: str):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        {"child": child, "buffer": buffer_for_parameter}[change](self)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("change", ["child", "buffer"])
def test_a_class_whose_constructor_changes_a_layer_in_another_way_is_kept(change):
    torch.manual_seed(0)
    with recording():
        model = nn.Sequential(Changes(change), nn.Linear(4, 4))
    graph = convert(model)
    assert (graph.root.grade, graph.unit("0").grade) == ("graph", "basic")
    [note] = graph.notes
    assert "its constructor makes '0.layer' with" in str(note)
    torch.manual_seed(0)
    built = load_source(generate(graph), graph.tensors).build()
    (state, *others), (expected, *rest) = kept(built), kept(model)
    assert others == rest
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (child, "the child 'g'"),
        (buffer_for_parameter, "no parameter 'bias'"),
    ],
)
def test_what_no_constructor_does_again_is_an_error_at_once(change, what):
    with recording():
        model = nn.Sequential(nn.Linear(4, 4))
    model.layer = model[0]
    change(model)
    del model.layer
    text = rf"0 \(Linear\): it was changed after construction and has {what}"
    with pytest.raises(GraphError, match=text):
        convert(model)


def test_a_mask_on_a_layer_with_a_choice_is_put_there_again():
    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = space.Linear(4, space.ValueChoice([4, 8], label="width"))
            self.layer.register_buffer("mask", torch.ones(2))

        def forward(self, x):
            return self.layer(x)

    with symbolic():
        model = Chosen()
    [edit] = convert(model).unit("layer").edits
    assert (edit.path, edit.name) == ("", "mask")


def test_what_is_put_on_layers_that_were_not_recorded_is_put_there_again():
    model = Model(mask)
    graph = convert(model)
    built = load_source(generate(graph), graph.tensors).build()
    assert [*built.state_dict()] == [*model.state_dict()]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("norm", [spectral_norm, parametrizations.spectral_norm])
def test_a_fill_that_cannot_come_before_a_reparametrization_is_said(norm):
    def change(self):
        nn.init.normal_(self.layer.weight)
        self.layer = norm(self.layer)

    graph = convert(model_of(change))
    [note] = graph.notes
    assert str(note).startswith("layer (")
    assert "Its 'weight' was filled before SpectralNorm was applied" in str(note)
    built = load_source(generate(graph), graph.tensors).build()
    assert built(torch.ones(1, 4)).shape == (1, 4)
