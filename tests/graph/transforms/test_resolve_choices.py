"""Choices decided on the graph of a space: what is copied, and what stays as it is."""

import mutable
import pytest
import torch

from runner import nn
from runner.graph import Graph, convert, generate, lint, load_source, recording
from runner.graph.transforms.mutator import drop_placeholders
from runner.graph.transforms.resolve_choices import decided
from runner.nn.symbolic import symbolic
from runner.space.sample import lookup


class Chosen(nn.Module):
    """One choice in a layer, one of layers, one of inputs; one layer without any."""

    def __init__(self) -> None:
        super().__init__()
        width = nn.ValueChoice([4, 6], label="width")
        self.stem = nn.Linear(3, width)
        self.act = nn.LayerChoice({"relu": nn.ReLU(), "tanh": nn.Tanh()}, label="act")
        self.pick = nn.InputChoice(2, 1, label="pick")
        self.scale = nn.Linear(2, 2)
        self.head = nn.Linear(width, 2)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.scale(self.head(self.pick([x, self.act(x)])))


def opened(build) -> Graph:
    with symbolic(), recording():
        model = build()
    return convert(model)


SAMPLE = {"width": 6, "act": "tanh", "pick": [1]}


@pytest.fixture
def space() -> Graph:
    return opened(Chosen)


def test_a_decided_graph_has_no_choices_and_builds_what_was_chosen(space):
    graph = decided(space, lookup(SAMPLE))
    lint(graph, decided=True)
    model = load_source(generate(graph), graph.tensors).build()
    assert isinstance(model.act, torch.nn.Tanh)
    assert model.stem.out_features == model.head.in_features == 6
    assert torch.equal(model.head.bias, torch.zeros(2))
    assert "pick" not in dict(model.named_children())
    assert model(torch.ones(5, 3)).shape == (5, 2)


def test_deciding_leaves_the_space_as_it_was(space):
    before = str(space)
    decided(space, lookup(SAMPLE))
    decided(space, lookup({"width": 4, "act": "relu", "pick": [0]}))
    assert str(space) == before


def test_what_holds_no_choice_is_not_copied(space):
    graph = decided(space, lookup(SAMPLE))
    assert graph.unit("scale") is space.unit("scale")
    assert graph.unit("stem") is not space.unit("stem")


def test_starts_speak_of_the_decided_units(space):
    graph = decided(space, lookup(SAMPLE))
    [start] = graph.root.starts
    assert start.unit is graph.unit("head")


def test_decided_choices_are_no_mutations(space):
    graph = decided(space, lookup(SAMPLE))
    assert graph.root.changed
    assert not any(unit.mutated for _, unit in graph.root.walk())


def test_a_function_held_of_the_space_is_not_that_of_a_sample(space):
    forward = space.root.forward
    graph = decided(space, lookup(SAMPLE))
    before = generate(graph)
    forward.result = forward.inputs[0]
    assert generate(graph) == before
    assert graph.root.functions["forward"] is not forward


def test_copies_of_a_decided_graph_share_its_functions_until_they_are_asked_for(space):
    graph = decided(space, lookup(SAMPLE))
    one, other = graph.copy(), graph.copy()
    assert one.root.functions["forward"] is other.root.functions["forward"]
    one.root.forward.result = None
    assert other.root.forward.result is not None


@pytest.mark.parametrize("width", [4, 6])
def test_widths_reach_all_layers_that_were_made_of_them(width):
    graph = decided(opened(mutable.ConvNet), lookup({"width": width}))
    drop_placeholders(graph)
    model = load_source(generate(graph), graph.tensors).build()
    assert model(torch.ones(2, 1, 8, 8)).shape == (2, 10)
    assert model.blocks[1].conv.in_channels == width
