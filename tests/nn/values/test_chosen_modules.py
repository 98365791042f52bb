"""Code that asks a chosen module about its choice is told what to write instead, and nothing marks
that module."""

import copy
import pickle

import pytest
import torch

from runner import nn

OPS = [torch.nn.ReLU(), torch.nn.Tanh()]
INSTEAD = "Keep those in a variable of your own, or derive a class (`class Op(nn.LayerChoice)"


class Op(nn.LayerChoice):
    """A choice that can be asked."""


def built(ask):
    """Builds a space that asks the module of its choice."""

    @nn.model_wrapper
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.other = nn.Linear(2, 2)
            self.op = nn.LayerChoice(OPS, label="op")
            ask(self)

    return Net()


ASKED = {
    "names": lambda net: net.op.names,
    "candidates": lambda net: net.op.candidates,
    "label": lambda net: net.op.label,
    "len": lambda net: len(net.op),
    "a loop": lambda net: [each for each in net.op],  # noqa: C416
    "a star": lambda net: [*net.op],
    "an index": lambda net: net.op[0],
    "an unpacking": lambda net: unpacked(net.op),
    "a search": lambda net: 0 in net.op,
}


def unpacked(pair):
    first, second = pair
    return first, second


@pytest.mark.parametrize("case", ASKED)
@pytest.mark.parametrize("given", [{"op": 0}, {"op": 1}])
def test_a_question_about_the_choice_says_what_to_write_instead(case, given):
    kind = type(OPS[given["op"]]).__name__
    with pytest.raises((AttributeError, TypeError)) as raised, nn.sample(given):
        built(ASKED[case])
    said = str(raised.value)
    assert said.count("LayerChoice 'op' returned") == 1, "of two nested blocks, one explains"
    assert kind in said and INSTEAD in said and "\n" not in said


def test_other_mistakes_are_left_alone():
    for ask in (lambda net: net.other.names, lambda net: net.op.size, lambda net: len(net.other)):
        with pytest.raises((AttributeError, TypeError)) as raised:
            built(ask)
        assert "LayerChoice" not in str(raised.value)
    assert not hasattr(built(lambda net: None).op, "names"), "a test for it is answered as ever"


def test_the_same_module_in_another_space_is_no_chosen_one():
    built(lambda net: None)

    def ask(net):
        net.plain = OPS[0]
        with nn.sample({}):  # another build, which chose nothing
            assert len(net.plain)

    with pytest.raises(TypeError) as raised, nn.sample({"op": 1}):
        built(ask)
    assert "LayerChoice" not in str(raised.value)


@pytest.mark.parametrize("value", [True, False, None])
def test_values_without_attributes_say_so(value):
    with pytest.raises(AttributeError, match=r"keep the candidates in a variable.*flags = \["):
        built(lambda net: nn.ValueChoice([value, 3], label="flag").candidates)


def test_a_chosen_module_is_what_it_would_be_without_a_choice():
    with nn.sample({"op": 0}):
        chosen = nn.LayerChoice([nn.Conv2d(1, 1, 1), nn.Identity()], label="op")
    plain = torch.nn.Conv2d(1, 1, 1)
    assert type(chosen) is torch.nn.Conv2d and vars(chosen).keys() == vars(plain).keys()
    assert vars(copy.deepcopy(chosen)).keys() == vars(plain).keys()
    assert b"runner" not in pickle.dumps(chosen)


@pytest.mark.parametrize("label", ["op", None])
def test_a_derived_class_can_be_asked(label):
    with nn.draw(lambda choice: choice.default) as sample:
        op = Op({"relu": nn.ReLU, "tanh": nn.Tanh}, label=label)
    assert isinstance(op, nn.LayerChoice) and op.names == ["relu", "tanh"] and len(op) == 2
    assert sample == {op.label: "relu"}
    with (
        pytest.raises(AttributeError, match="LayerChoice 'op' returned"),
        nn.sample({"op": "tanh"}),
    ):
        Op({"relu": nn.ReLU, "tanh": nn.Tanh}, label="op").candidates  # noqa: B018
