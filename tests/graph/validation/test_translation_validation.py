"""A conversion proves itself: what computes something else than its module is kept as it is."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from unwritable import Drawn

from runner.graph.codegen.generate import generate
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit
from runner.graph.validation import validated_conversion as conversion
from runner.graph.validation.equivalence import CannotRun, restored
from runner.graph.validation.translation_validation import validate
from runner.graph.validation.validated_conversion import convert
from runner.nn.recording.construction_record import recording


class Scale(nn.Module):
    """Something of everything: a buffer that counts, randomness, a detached path."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.register_buffer("calls", torch.zeros(()))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        x = torch.relu(x) * self.gain + x.detach()
        return self.drop(x) + 1.0


class Block(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.scale = Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(self.linear(x))


class Net(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.first = Block(width)
        self.second = Block(width)
        self.zero = nn.BatchNorm1d(width)
        nn.init.zeros_(self.zero.weight)  # hides whatever comes before it

    def forward(self, x: Tensor) -> Tensor:
        return x + self.zero(self.second(self.first(x)))


def net() -> Net:
    torch.manual_seed(0)
    with recording():
        return Net()


X = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))


def misread(monkeypatch: pytest.MonkeyPatch, change: Callable[[Graph], None]) -> None:
    """Has the front end read something else than is written."""
    read = conversion.read

    def reads(model, *given):
        graph = read(model, *given)
        change(graph)
        return graph

    monkeypatch.setattr(conversion, "read", reads)


def node_of(unit: Unit, target: str):
    return next(node for node in unit.forward.nodes if target in (node.target, node.op))


def subtracts(unit: Unit) -> None:
    node_of(unit, "operator:add").target = "operator:sub"


def drops(name: str) -> Callable[[Unit], None]:
    """A node is not there."""

    def change(unit: Unit) -> None:
        node = node_of(unit, name)
        if node.outputs:
            node.replace_all_uses_with(node.inputs[-1])
        unit.forward.erase_node(node)

    return change


def draws(unit: Unit) -> None:
    """One random number more, which nobody uses."""
    with unit.forward.inserting_before(unit.forward.nodes[0]):
        unit.forward.call_function("torch:rand", 1)


CHANGES = {
    "another operator": subtracts,
    "no gradient is stopped": drops("detach"),
    "a module is not called, in train mode": drops("drop"),
    "a buffer is not changed": drops("add_"),
    "a random number is drawn": draws,
}


def on_unit(path: str, change: Callable[[Unit], None]) -> Callable[[Graph], None]:
    def apply(graph: Graph) -> None:
        unit = graph.unit(path)
        if unit.grade == "graph":
            change(unit)

    return apply


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("path", ["first.scale", "second.scale"])
def test_the_smallest_unit_that_differs_is_kept(monkeypatch, name, path):
    misread(monkeypatch, on_unit(path, CHANGES[name]))
    graph = convert(net(), X)
    others = {"", "first", "second", "first.scale", "second.scale"} - {path}
    assert {p: graph.unit(p).grade for p in others} == dict.fromkeys(others, "graph")
    assert graph.unit(path).grade == "shell"
    [note] = graph.notes
    assert (note.path, note.cls, note.lost) == (path, "Scale", False)
    line = Scale.forward.__code__.co_firstlineno
    place = f"test_translation_validation.py:{line}"
    assert f"torchscript: {place}: it computes something else (in " in note.text
    assert validate(graph, net(), X).mismatches == []


def test_a_conversion_that_is_right_has_nothing_to_say():
    graph = convert(net(), X)
    assert not graph.notes
    assert generate(graph, standalone=True) == generate(convert(net()), standalone=True)


def test_what_differs_in_several_places_is_kept_in_each(monkeypatch):
    def change(graph: Graph) -> None:
        for path in ("first.scale", "second.scale", ""):
            on_unit(path, subtracts)(graph)

    misread(monkeypatch, change)
    graph = convert(net(), X)
    grades = {path: unit.grade for path, unit in graph.root.walk()}
    assert [path for path, grade in grades.items() if grade == "shell"] == [
        "", "first.scale", "second.scale",
    ]  # fmt: skip
    assert grades["first"] == grades["second"] == "graph"


def test_where_a_layer_is_made_otherwise_what_holds_it_is_kept_whole(monkeypatch):
    def change(graph: Graph) -> None:
        drop = graph.root.find("second.scale.drop")
        if drop is not None:
            drop.set_argument("p", 0.25)

    misread(monkeypatch, change)
    graph = convert(net(), X)
    assert graph.unit("second.scale").grade == "basic"
    assert graph.unit("first.scale").grade == graph.unit("second").grade == "graph"


def test_a_graph_that_stays_wrong_says_that_it_is(monkeypatch):
    misread(monkeypatch, lambda graph: graph.root.buffers.pop("shift", None))

    class Outside(nn.Module):  # no constructor of its own makes the buffer
        def forward(self, x: Tensor) -> Tensor:
            return x + self.shift

    with recording():
        model = Outside()
        model.register_buffer("shift", torch.ones(4))
    last = convert(model, X).notes[-1]
    assert last.lost
    assert "Its graph computes something other than the model" in last.text


def test_a_model_that_does_not_run_is_not_checked_and_that_is_said():
    graph = convert(net(), torch.zeros(5, 7))
    [note] = graph.notes
    assert note.text.startswith("Its graph was not validated, since it does not run on")
    with pytest.raises(CannotRun):
        validate(graph, net(), torch.zeros(5, 7))


def test_a_mode_that_cannot_run_is_said():
    [note] = convert(net(), X[:1]).notes  # batch norm wants more than one example to train
    assert "it does not run in train mode" in note.text


def test_validation_leaves_the_model_as_it_was():
    model = net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, x = torch.get_rng_state(), X.clone()
    convert(model, x)
    assert all(torch.equal(before[n], value) for n, value in model.state_dict().items())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(x, X)


class Dotted(dict):
    """A dict whose copy cannot be made by `copy`."""

    __getattr__ = dict.get


class Odd(list):
    """A list that says no to what a copy would ask of it."""

    def copy(self):
        raise NotImplementedError

    def clear(self):
        raise NotImplementedError


def test_what_a_model_holds_is_put_back():
    net = nn.Identity()
    net.dotted, net.odd = Dotted(scale=2.0), Odd([1])
    net.dotted.note = "hi"
    net.torch, net.python = torch.Generator(), random.Random(0)
    net.array, net.legacy = np.random.default_rng(0), np.random.RandomState(0)

    def draws():
        drawn = torch.rand(1, generator=net.torch), net.python.random()
        return [*map(float, (*drawn, net.array.random(), net.legacy.rand()))]

    with restored(net):
        first = draws()
        net.dotted["scale"], net.dotted.note = 3.0, "ho"
        list.append(net.odd, 2)
    assert draws() == first
    assert (net.dotted, net.dotted.note, net.odd) == (Dotted(scale=2.0), "hi", Odd([1]))


class HoldsDrawn(nn.Module):
    """Holds a layer whose mask is another one whenever it is built."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(10, 10)
        self.drawn = Drawn()

    def forward(self, x):
        return self.drawn(self.linear(x))


def test_state_that_no_weights_hold_is_named_where_it_makes_the_difference():
    with recording():
        model = HoldsDrawn()
    notes = convert(model, torch.zeros(2, 10)).notes
    said = "the attributes mask, scale, shift differ: weights do not hold that; make it a"
    assert any(note.lost for note in notes) and any(said in str(note) for note in notes)
    assert all("the attributes" in str(note) for note in notes if note.lost)


def test_a_difference_without_such_state_names_none(monkeypatch):
    with recording():
        model = Block()
    graph = convert(model)
    model.scale.forward = lambda x: x * 2
    [found] = validate(graph, model, torch.ones(1, 4)).mismatches
    assert "weights do not hold" not in found.text
