"""A plain attribute in the memory of a buffer is made by the constructor, or said to be lost."""

import pytest
import torch
from torch import nn

from runner.graph import convert, generate, recording
from runner.graph.codegen.load import load_source


class Same(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("counts", torch.zeros(4))
        self.alias = self.counts

    def forward(self, x):
        self.counts.add_(1)
        return x + self.alias.sum()


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("counts", torch.zeros(4))
        self.alias = self.counts[1:]

    def forward(self, x):
        self.counts.add_(1)
        return x + self.alias.sum()


class OfParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.counts = nn.Parameter(torch.zeros(4))
        self.alias = self.counts.data

    def forward(self, x):
        return x + self.alias.sum()


class Unread(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("counts", torch.zeros(4))
        self.original = self.counts

    def forward(self, x):
        self.counts.add_(1)
        return x + self.counts.sum()


class WithLayer(Part):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


def recorded(cls):
    with recording():
        return cls()


def source(model):
    graph = convert(model)
    return generate(graph), graph


def check(model, again):
    again.load_state_dict(model.state_dict())
    for each in (model, again):
        with torch.no_grad():
            each.counts.add_(3)
    for _ in range(2):
        assert torch.equal(again(torch.ones(2)), model(torch.ones(2)))


@pytest.mark.parametrize("cls", [Same, Part, OfParameter])
def test_a_module_with_an_attribute_in_the_memory_of_a_buffer_is_made_whole(cls):
    for model in (recorded(cls), cls()):
        text, graph = source(model)
        assert "alias" not in text and graph.grades()["basic"] == 1
        assert any("self.alias shares memory with self.counts" in str(n) for n in graph.notes)
        check(model, load_source(text, graph.tensors).build())


def test_an_attribute_that_nothing_reads_keeps_nothing_whole():
    for model in (recorded(Unread), Unread()):
        text, graph = source(model)
        assert "original" not in text and graph.grades()["graph"] == 1 and not graph.notes
        check(model, load_source(text, graph.tensors).build())


def test_an_attribute_that_no_constructor_makes_again_is_said_to_be_lost():
    _, graph = source(WithLayer())
    assert any(n.lost and "'alias' shares memory with 'counts'" in n.text for n in graph.notes)


def test_an_attribute_that_was_set_after_construction_is_not_left_to_the_constructor():
    model = recorded(Part)
    model.alias = model.counts[:2]
    text, graph = source(model)
    assert "alias" not in text
    assert any(n.lost and "'alias' shares memory" in n.text for n in graph.notes)
