"""Buffers in one memory stay in one in source, or a note says that they do not."""

import pytest
import torch
from torch import nn

from runner.graph import convert, generate, recording
from runner.graph.codegen.load import load_source


class Counts(nn.Module):
    """Changes one buffer, and reads another that may share its memory."""

    def __init__(self, make):
        super().__init__()
        make(self)

    def forward(self, x):
        self.first.add_(1)
        return x + self.second.sum()


def one_twice(self):
    buffer = torch.zeros(4)
    self.register_buffer("first", buffer)
    self.register_buffer("second", buffer)


def numbers_twice(self):
    buffer = torch.arange(4.0)
    self.register_buffer("first", buffer)
    self.register_buffer("second", buffer, persistent=False)


def same_view(self):
    self.register_buffer("first", torch.ones(2, 3))
    self.register_buffer("second", self.first.view(2, 3))


def part(self):
    self.register_buffer("first", torch.zeros(4))
    self.register_buffer("second", self.first[1:])


def other_dtype(self):
    self.register_buffer("first", torch.zeros(4))
    self.register_buffer("second", self.first.view(torch.int32))


def expanded(self):
    self.register_buffer("first", torch.zeros(1, 4))
    self.register_buffer("second", self.first.expand(3, 4))


def columns(self):
    table = torch.zeros(4, 2)
    self.register_buffer("first", table[:, 0])
    self.register_buffer("second", table[:, 1])


def halves(self):
    first, second = torch.zeros(3, 8).chunk(2, dim=-1)
    self.register_buffer("first", first)
    self.register_buffer("second", second)


def one_expanded(self):
    self.register_buffer("first", torch.zeros(1, 4))
    self.register_buffer("second", torch.zeros(1, 4).expand(3, 4))


def empty(self):
    self.register_buffer("first", torch.zeros(0))
    self.register_buffer("second", torch.zeros(0))


class OnMeta(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm1d(4, device="meta") for _ in range(2))
        self.weight = nn.Parameter(torch.zeros(4, device="meta"))

    def forward(self, x):
        return self.norms[1](self.norms[0](x)) * self.weight


def made(make, recorded):
    if not recorded:
        return Counts(make)
    with recording():
        return Counts(make)


def rebuilt(graph):
    return load_source(generate(graph, standalone=True), graph.tensors).build()


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("make", [one_twice, numbers_twice, same_view])
def test_buffers_in_one_memory_change_together_in_source(make, recorded):
    model = made(make, recorded)
    graph = convert(model)
    again = rebuilt(graph)
    assert not graph.notes
    assert again.first.data_ptr() == again.second.data_ptr()
    assert [*again.state_dict()] == [*model.state_dict()]
    for _ in range(2):
        assert torch.equal(again(torch.ones(2)), model(torch.ones(2)))


class OfLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        self.register_buffer("first", torch.zeros(4))
        for layer in self.layers:
            layer.register_buffer("mask", self.first)

    def forward(self, x):
        self.first.add_(1)
        return x + self.layers[0].mask + self.layers[1].mask


@pytest.mark.parametrize("recorded", [True, False])
def test_a_buffer_that_was_added_to_layers_stays_that_of_the_model(recorded):
    model = OfLayers()
    if recorded:
        with recording():
            model = OfLayers()
    again = rebuilt(convert(model))
    for _ in range(2):
        assert torch.equal(again(torch.ones(4)), model(torch.ones(4)))


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("make", [part, other_dtype, expanded])
def test_a_view_of_a_buffer_that_gets_memory_of_its_own_is_named_once(make, recorded):
    notes = convert(made(make, recorded)).notes
    assert len(notes) == 1
    assert "'first' shares memory with 'second'" in notes[0].text


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("make", [columns, halves, one_expanded, empty])
def test_buffers_without_a_common_element_have_no_note(make, recorded):
    assert not any("shares memory" in note.text for note in convert(made(make, recorded)).notes)


def test_tensors_on_the_meta_device_share_nothing():
    with recording():
        model = OnMeta()
    for each in (model, OnMeta()):
        graph = convert(each)
        assert not graph.notes
        assert "data" not in generate(graph)
