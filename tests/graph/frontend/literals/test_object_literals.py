"""What modules hold and what is put on them is written with all its state, or kept, or refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objects import KEPT, LOST, OBJECTS, REFUSED, Config, Dotted, Frozen, Holds, Plain, Two, endless
from objects import with_later as later
from torch import nn

from runner.errors import GraphError
from runner.graph.frontend.convert import convert
from runner.graph.frontend.literals.literal import Literals
from runner.graph.frontend.literals.object_state import same_state
from runner.graph.frontend.live_modules.hooks_and_attributes import no_module
from runner.graph.validation.conversion_check import check_conversion
from runner.nn.recording.construction_record import recording

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")


def built(make) -> nn.Module:
    torch.manual_seed(0)
    with recording():
        return make()


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_keeps_all_that_it_holds(name):
    model = built(lambda: Holds(OBJECTS[name]()))
    report = check_conversion(model, torch.randn(4, 3))
    report.raise_if_wrong()
    assert not any(note.lost for note in report.notes)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_with_all_its_state_is_refused(name):
    with pytest.raises(GraphError):
        Literals(no_module, {}).of(REFUSED[name]())
    graph = convert(built(lambda: Holds(REFUSED[name]())), frontend="torchscript")
    [note] = [note for note in graph.notes if note.lost]
    assert "'thing'" in str(note) or "modules" in str(note)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_written_is_evaluated_or_refused(name):
    model = built(lambda: Holds(REFUSED[name]()))
    report = check_conversion(model, torch.randn(4, 3), frontend="python")
    assert report.ok or any(note.lost for note in report.notes)


@pytest.mark.parametrize("name", KEPT)
def test_what_is_put_on_a_module_is_kept(name):
    report = check_conversion(built(KEPT[name]), torch.randn(4, 3, requires_grad=True))
    report.raise_if_wrong()
    assert not any(note.lost for note in report.notes)


@pytest.mark.parametrize("name", LOST)
def test_what_no_source_can_put_there_again_is_refused(name):
    graph = convert(built(LOST[name]), frontend="torchscript")
    notes = [note for note in graph.notes if note.lost]
    assert notes and all(note.path for note in notes if note.cls != "Two")


class Scripts(nn.Module):
    """Makes a layer and what TorchScript compiles."""

    def __init__(self, times: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.two = torch.jit.script(Two())
        self.own = torch.jit.script(Times(times))

    def forward(self, x):
        return self.own(self.two(self.layer(x)))


class Times(nn.Module):
    """Holds a number that is compiled, and a weight."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.shift = nn.Parameter(torch.randn(3))

    def forward(self, x):
        return x * self.times + self.shift


def edited() -> nn.Module:
    model = Scripts()
    model.own = torch.jit.script(Times(3))
    return model


SCRIPTED = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")


@SCRIPTED
@pytest.mark.parametrize("make", [Scripts, lambda: nn.Sequential(nn.Linear(3, 3), Scripts(4))])
def test_what_makes_a_scripted_child_is_kept_whole(make):
    report = check_conversion(built(make), torch.randn(4, 3, requires_grad=True))
    report.raise_if_wrong()
    [note] = [note for note in report.notes if "compiled by TorchScript" in str(note)]
    assert note.cls == "Scripts" and not note.lost


@SCRIPTED
@pytest.mark.parametrize(
    ("make", "path"),
    [(lambda: nn.Sequential(nn.ReLU(), torch.jit.script(Two())), "1"), (edited, "own")],
)
def test_a_scripted_child_that_no_constructor_makes_is_refused_with_its_place(make, path):
    notes = [note for note in convert(built(make)).notes if note.lost]
    assert path in [note.path for note in notes]
    assert any("It is compiled by TorchScript" in str(note) for note in notes)


def test_a_compiled_model_is_to_be_given_as_it_was():
    with pytest.raises(GraphError, match=r"torch\.compile; pass the original model"):
        convert(torch.compile(Two(), backend="eager"))


def test_a_list_that_holds_itself_has_no_constant():
    with pytest.raises(GraphError, match="it contains itself"):
        Literals(no_module, {}).of(endless())


class Asks(nn.Module):
    """Tests what its object has."""

    def __init__(self, thing) -> None:
        super().__init__()
        self.thing = thing
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        if hasattr(self.thing, "extra"):
            x = x * 3
        return self.layer(x)


@pytest.mark.parametrize("thing", [Plain(3), later(Plain(3), extra=1)])
def test_a_question_to_an_object_is_asked_of_the_object(thing):
    check_conversion(built(lambda: Asks(thing)), torch.randn(4, 3)).raise_if_wrong()


plain = st.one_of(st.integers(-9, 9), st.floats(), st.booleans(), st.none(), st.text())
names = st.sampled_from(["width", "extra", "parts", "more"])


def holding(inner):
    states = st.dictionaries(names, inner, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=3),
        states,
        st.tuples(inner, inner),
        st.builds(lambda state: later(Config(), **state), states),
        st.builds(lambda state: later(Plain(2), **state), states),
        st.builds(lambda state: later(Frozen(2), **state), states),
        st.builds(lambda items, state: later(Dotted(items), **state), states, states),
    )


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.recursive(plain, holding, max_leaves=8))
def test_a_constant_makes_an_object_of_the_same_state(thing):
    literals = Literals(no_module, {})
    assert same_state(thing, literals.evaluated(literals.of(thing)))


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.recursive(plain, holding, max_leaves=5), names, st.integers(10, 19))
def test_another_state_is_told_from_it(thing, name, value):
    one, other = later(Plain(thing), extra=0), later(Plain(thing), extra=0)
    assert same_state(one, other)
    assert not same_state(one, later(other, **{name: value}))
