"""What no front end sees of a module is kept, or said with what to do about it."""

import pytest
import torch
from programs import PROGRAMS
from programs.unseen import CallsWithList, HoldsHooked, HooksChild, ResetsChild, doubled
from torch import nn

from runner import nn as space
from runner.graph.frontend.convert import convert
from runner.graph.ir.graph import Graph
from runner.nn.recording.construction_record import recording
from runner.nn.symbolic import symbolic
from runner.nn.values.build import basic_unit


def graph_of(make) -> Graph:
    with recording():
        model = make()
    return convert(model)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HooksChild", "its constructor adds the hook 'doubled' to 'body'. Kept as a basic unit"),
        ("HooksItself", "its constructor adds the hook '<lambda>' to it. Kept as a basic unit"),
        ("Pruned", "the hook 'CustomFromMask' to 'head'. Kept as a basic unit"),
        ("FreezesChild", "its constructor adds the instance attribute 'train' to 'norm'. Kept"),
        ("PatchesChild", "its constructor adds the instance attribute 'forward' to 'body'. Kept"),
    ],
)
def test_what_is_kept_is_said_with_the_reason(name, text):
    [note] = graph_of(PROGRAMS[f"unseen.{name}"].make).notes
    assert text in str(note)
    assert str(note).startswith("the model") and "@basic_unit" in str(note)


@pytest.mark.parametrize(
    "name", ["FrozenNorm", "CallsTwice", "ExtraState", "OnlyTrains", "CountedSequential"]
)
def test_what_overrides_a_method_is_read_and_inherits_it(name):
    graph = graph_of(PROGRAMS[f"unseen.{name}"].make)
    assert (graph.root.grade, graph.root.inherits, graph.notes) == ("graph", True, [])


def test_a_call_that_decides_what_forward_is_given_leaves_no_test_of_it_out():
    with recording():
        model = CallsWithList()
    [note] = convert(model, frontend="torchscript").notes
    assert "it tests the type of an argument, which its caller decides. Kept as a shell" in str(
        note
    )


def test_a_method_that_only_an_inherited_one_calls_is_kept():
    graph = graph_of(ResetsChild)
    body = graph.unit("body")
    assert (graph.root.grade, body.grade, body.inherits) == ("graph", "graph", True)


class FrozenInside(nn.Module):
    """Defined where source cannot import it, once it is in a function."""

    def train(self, mode: bool = True):
        return super().train(False)

    def forward(self, x):
        return x


def test_what_no_source_can_name_does_not_inherit():
    class Local(FrozenInside):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 3)

    notes = graph_of(Local).notes
    assert any("it overrides train(). Kept as a shell" in str(note) for note in notes)
    assert any(note.lost and "cannot import its class" in str(note) for note in notes)


def test_only_the_module_whose_constructor_hooks_is_kept_whole():
    graph = graph_of(HoldsHooked)
    grades = {path: unit.grade for path, unit in graph.root.walk()}
    assert grades == {"": "graph", "inner": "graph", "inner.0": "basic", "inner.1": "basic"}


def test_a_hook_that_no_constructor_registers_is_said_with_what_to_do():
    with recording():
        model = nn.Sequential(nn.Linear(3, 3))
    model[0].register_forward_hook(doubled)
    [note] = convert(model).notes
    assert str(note) == (
        "0 (Linear): Added to this module, but not part of the graph: the hook 'doubled'. Do it in "
        "forward, or decorate the class whose constructor does it with @basic_unit."
    )


class HooksChoice(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = space.LayerChoice([nn.ReLU(), nn.Tanh()], label="body")
        self.head = nn.Linear(3, 3)
        self.head.register_forward_hook(doubled)

    def forward(self, x):
        return self.head(self.body(x))


def test_what_holds_a_choice_cannot_be_kept_and_that_is_said():
    with symbolic():
        model = HooksChoice()
    graph = convert(model)
    assert graph.root.grade == "graph"
    assert "not part of the graph: the hook 'doubled'" in str(graph.notes[0])


def test_a_hooked_module_that_was_handed_in_is_not_made_by_who_takes_it():
    with recording():
        model = nn.Sequential(HooksChild())
    assert convert(model).unit("0").grade == "basic"
    assert convert(model).root.grade == "graph"


@basic_unit
class Silent(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.head.register_forward_hook(doubled)

    def forward(self, x):
        return self.head(x)


def test_a_basic_unit_silences_the_note():
    assert graph_of(Silent).notes == []


def test_torchs_own_reparametrizations_are_no_hooks():
    def make():
        return nn.Sequential(torch.nn.utils.spectral_norm(nn.Linear(3, 3)))

    assert graph_of(make).notes == []
