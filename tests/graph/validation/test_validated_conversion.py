"""What a front end misreads is read by the next one, and kept only if that misreads it too."""

import pytest
import torch
from fake_frontends import Fake, calls, runs
from torch import nn

from runner.errors import GraphError
from runner.graph import convert
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend import convert as conversion
from runner.nn.recording.construction_record import recording


class Doubles(nn.Module):
    def forward(self, x):
        return x * 2


class Adds(nn.Module):
    def forward(self, x):
        return x + 1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.doubles = Doubles()
        self.adds = Adds()

    def forward(self, x):
        return self.adds(self.doubles(x))


X = torch.arange(6.0).reshape(3, 2)
NET, DOUBLES, ADDS = runs("doubles", "adds"), calls("operator:mul", 2), calls("operator:add", 1)
WRONG = calls("operator:sub", 1)
LINE = Doubles.forward.__code__.co_firstlineno
DIFFERS = f"test_validated_conversion.py:{LINE}: it computes something else (in eval mode, "


@pytest.fixture
def graph_of(monkeypatch):
    """The validated graph of the model, as two front ends read it."""

    def convert_by(one: Fake, other: Fake):
        monkeypatch.setattr(conversion, "usable", lambda frontend: ("one", "other"))
        monkeypatch.setattr(conversion, "FRONTENDS", {"one": one, "other": other})
        with recording():
            model = Net()
        graph = convert(model, X)
        twin = load_source(generate(graph), graph.tensors).build()
        assert torch.equal(twin(X), model(X))
        return graph

    return convert_by


def test_what_the_first_misreads_is_read_by_the_second(graph_of):
    one = Fake(Net=[NET], Doubles=[WRONG], Adds=[ADDS])
    graph = graph_of(one, Fake(Net=[NET], Doubles=[DOUBLES]))
    read = {path: unit.provenance.frontend for path, unit in graph.root.walk()}
    assert read == {"": "one", "doubles": "other", "adds": "one"}
    [note] = graph.notes
    assert str(note).startswith(f"doubles (Doubles): Read by other. one: {DIFFERS}")


def test_what_both_misread_is_kept(graph_of):
    one = Fake(Net=[NET], Doubles=[WRONG], Adds=[ADDS])
    graph = graph_of(one, Fake(Net=[NET], Doubles=[WRONG]))
    grades = {path: unit.grade for path, unit in graph.root.walk()}
    assert grades == {"": "graph", "doubles": "basic", "adds": "graph"}
    [note] = graph.notes
    assert f"Its forward cannot be converted. one: {DIFFERS}" in note.text
    assert f"; other: {DIFFERS}" in note.text


def test_what_one_misreads_and_the_other_cannot_read_is_kept(graph_of):
    one = Fake(Net=[NET], Doubles="net.py:3: it has stars", Adds=[ADDS])
    [note] = graph_of(one, Fake(Doubles=[WRONG])).notes
    assert f"one: net.py:3: it has stars; other: {DIFFERS}" in note.text


def test_the_front_end_of_a_conversion_is_checked_first():
    with pytest.raises(GraphError, match="frontend is 'fx'; it must be one of auto, python, "):
        convert(Net(), X, frontend="fx")
