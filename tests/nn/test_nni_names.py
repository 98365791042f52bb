"""Names of NNI mean what they mean there, or say what to write instead."""

import collections
import typing
from collections.abc import Callable
from random import Random
from typing import Any

import nni_spaces
import pytest
import torch
import torch.nn as torch_nn

from runner import nn
from runner.config.check_arguments import check_type, signature
from runner.engines.base import BaseEngine
from runner.engines.py import PyEngine
from runner.errors import ConfigError, SpaceError, SymbolicError
from runner.nn.nni_names import INSTEAD
from runner.space.choice import Categorical, Choice, Numeric, Subset

SAME = {  # names, and what of ours they are
    "LayerChoice": "LayerChoice", "InputChoice": "InputChoice", "ValueChoice": "ValueChoice",
    "Repeat": "Repeat", "Cell": "Cell", "Placeholder": "Placeholder",
    "ChosenInputs": "ChosenInputs", "MutationAnchor": "Placeholder",
    "ParametrizedModule": "Module", "model_wrapper": "model_wrapper",
    "basic_unit": "basic_unit", "MutableLinear": "Linear", "MutableDropout": "Dropout",
    "MutableConv2d": "Conv2d", "MutableBatchNorm2d": "BatchNorm2d", "MutableReLU": "ReLU",
    "MutableSequential": "Sequential", "MutableLayerNorm": "LayerNorm", "MutableLSTM": "LSTM",
}  # fmt: skip
THERE = ["ModelSpace", "ModelParameterChoice", "AutoActivation", "ChoiceOf", "MaybeChoice",
         "ReductionType", "choice", "uniform", "loguniform", "label_scope"]  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_a_name_is_another_one_for_what_we_have(name):
    assert getattr(nn, name) is getattr(nn, SAME[name])


@pytest.mark.parametrize("name", THERE)
def test_a_name_is_there(name):
    assert getattr(nn, name) is not None


@pytest.mark.parametrize("name", INSTEAD)
def test_a_name_that_is_not_there_says_what_to_write(name):
    with pytest.raises(AttributeError, match=rf"There is no nn\.{name} here; write nn\.") as error:
        getattr(nn, name)
    assert "\n" not in str(error.value)
    for word in str(error.value).split("write ")[1].replace(";", " ").replace(",", " ").split():
        if word.startswith("nn."):
            assert hasattr(nn, word.removeprefix("nn.").rstrip(".").split("(")[0])


@pytest.mark.parametrize("name", ["Mutable", "MutableNothing", "MutableMutableLinear", "nothing",
                                  "Mutablefunctional", "MutableParameterChoice"])  # fmt: skip
def test_other_names_are_not_there(name):
    assert not hasattr(nn, name)
    assert nn.functional is torch_nn.functional


def asked(make: Callable[[], Any]) -> dict[str, Choice]:
    """The choices that a call asks for, in the default model."""
    found: dict[str, Choice] = {}

    def choose(choice: Choice) -> Any:
        found[choice.label] = choice
        return choice.default

    with nn.draw(choose):
        make()
    return found


A, B = torch_nn.ReLU, torch_nn.GELU
CALLS = [
    (lambda: nn.LayerChoice([A(), B()], "x"), Categorical("x", (0, 1)), None),
    (lambda: nn.LayerChoice([A(), B()], label="x", prior=[0.5, 0.5]), Categorical("x", (0, 1)),
     (0.5, 0.5)),
    (lambda: nn.LayerChoice({"a": A(), "b": B()}, weights=[1, 3], label="x"),
     Categorical("x", ("a", "b")), (1, 3)),
    (lambda: nn.LayerChoice(collections.OrderedDict(a=A(), b=B()), label="x"),
     Categorical("x", ("a", "b")), None),
    (lambda: nn.ValueChoice([1, 2], "x"), Categorical("x", (1, 2)), None),
    (lambda: nn.ValueChoice([1, 2], weights=[0.1, 0.9], label="x"), Categorical("x", (1, 2)),
     (0.1, 0.9)),
    (lambda: nn.InputChoice(3, label="x"), Subset("x", 3, 1), None),
    (lambda: nn.InputChoice(3, 2, "mean", "x"), Subset("x", 3, 2), None),
    (lambda: nn.InputChoice(choose_from=["a", "b"], label="x"), Subset("x", 2, 1), None),
    (lambda: nn.InputChoice(2, choose_from=["a", "b"], label="x"), Subset("x", 2, 1), None),
    (lambda: nn.InputChoice(2, prior=[0.25, 0.75], label="x"), Subset("x", 2, 1), (0.25, 0.75)),
    (lambda: nn.InputChoice(2, None, weights=[0.5, 0.5], label="x"), Subset("x", 2, None),
     (0.25, 0.25, 0.25, 0.25)),
    (lambda: nn.Repeat(lambda i: A(), (1, 3), "x"), Numeric("x", 1, 3, step=1), None),
    (lambda: nn.choice("x", [1, 2]), Categorical("x", (1, 2)), None),
    (lambda: nn.choice("x", [A(), B()]), Categorical("x", (0, 1)), None),
    (lambda: nn.uniform("x", 0, 2), Numeric("x", 0.0, 2.0), None),
    (lambda: nn.loguniform("x", 1, 2), Numeric("x", 1.0, 2.0, log=True), None),
    (lambda: nn.ModelParameterChoice([1, 2], label="x"), Categorical("x", (1, 2)), None),
    (lambda: nn.ModelParameterChoice([1, 2, 3], default=3, prior=[1, 2, 3], label="x"),
     Categorical("x", (3, 1, 2)), (3, 1, 2)),
    (lambda: nn.ModelParameterChoice([1, 2], default=max, label="x"),
     Categorical("x", (2, 1)), None),
]  # fmt: skip


@pytest.mark.parametrize(("make", "choice", "prior"), CALLS)
def test_a_call_as_nni_has_it_asks_for_our_choice(make, choice, prior):
    assert asked(make) == {"x": choice}
    assert asked(make)["x"].prior == prior


BAD = [
    (lambda: nn.InputChoice(), "needs n_candidates"),
    (lambda: nn.InputChoice(3, choose_from=["a"]), "give one of them"),
    (lambda: nn.InputChoice(choose_from="abc"), "a number or a list of names"),
    (lambda: nn.InputChoice(2, prior=[1]), r"has the prior \[1\]; it must be 2 weights"),
    (lambda: nn.InputChoice(2, None, prior=[2, 1]), "each must be a probability"),
    (lambda: nn.InputChoice(3, 2, prior=[1, 0, 0]), "fewer have a prior above 0"),
    (lambda: nn.InputChoice(30, 2, prior=[1] * 30), "at most 12"),
    (lambda: nn.LayerChoice([A, B], prior=[1, 1], weights=[1, 1]), "which are the same"),
    (lambda: nn.ModelParameterChoice([1, 2], default=3), "has the default 3; its candidates are"),
    (lambda: nn.AutoActivation(0), "at least 1"),
    (lambda: nn.AutoActivation(1, ["UnaryTan"]), "Did you mean 'UnaryTanh'"),
]


@pytest.mark.parametrize(("make", "text"), BAD)
def test_a_call_that_means_nothing_is_refused(make, text):
    with pytest.raises(SpaceError, match=text) as error:
        make()
    assert "\n" not in str(error.value)


def test_inputs_are_drawn_one_after_another_by_their_prior():
    weights, rng = [0.1, 0.2, 0.7], Random(0)
    [choice] = asked(lambda: nn.InputChoice(3, 2, prior=weights)).values()
    assert sum(choice.prior) == pytest.approx(1)
    first_two = 0.1 * 0.2 / 0.9 + 0.2 * 0.1 / 0.8
    assert choice.prior[0] == pytest.approx(first_two)
    drawn = collections.Counter(tuple(choice.random(rng)) for _ in range(4000))
    assert drawn[1, 2] > drawn[0, 2] > drawn[0, 1] > 0


@pytest.mark.parametrize("value", [64, 0.5, "relu", (1, 2), [3], {"a": 1}])
def test_a_chosen_value_knows_its_candidates(value):
    def check() -> None:
        found = nn.ValueChoice([value, 7], label="x")
        assert found == value and found.candidates == [value, 7] and found.label == "x"

    check()
    with nn.symbolic():
        symbolic = nn.ValueChoice([value, 7], label="x")
        assert symbolic.candidates == [value, 7] and symbolic.label == "x"


def test_types_of_choices_are_those_of_their_values():
    def space(width: nn.MaybeChoice[int], act: nn.ChoiceOf[str] = "relu") -> None:
        """A space."""

    hints = signature(space)
    check_type(3, hints["width"].annotation, "space.width")
    with pytest.raises(ConfigError, match=r"space\.width is 'a'"):
        check_type("a", hints["width"].annotation, "space.width")
    assert typing.get_type_hints(space) == {"width": int, "act": str, "return": type(None)}


def test_a_model_parameter_is_a_plain_value_in_every_build():
    value = nn.ModelParameterChoice([5, 7], label="x")
    assert type(value) is int
    assert nn.ModelParameterChoice([False, True], label="y") is False
    with nn.symbolic(), pytest.raises(SymbolicError, match=r"test_nni_names\.py:\d+: .*plain"):
        nn.ModelParameterChoice([5, 7], label="x")


def test_labels_of_a_model_space():
    class Unlabelled(nn.ModelSpace):
        def __init__(self) -> None:
            super().__init__()
            self.width = nn.ValueChoice([1, 2])

    class Derived(Unlabelled):
        """Has no constructor of its own."""

    class Prefixed(nn.ModelSpace, label_prefix="backbone"):
        def __init__(self, size: int = 3) -> None:
            super().__init__()
            self.width, self.other = nn.ValueChoice([1, 2], label="width"), nn.ValueChoice([1, 2])

    assert [*asked(Unlabelled)] == ["Unlabelled/1"]
    assert [*asked(Derived)] == ["Derived/1"]
    given, numbered = asked(Prefixed)
    assert given == "backbone/width" and numbered.endswith("backbone/1")
    assert "size" in signature(Prefixed)


@pytest.mark.parametrize("name", ["Net3", "Net2", "Net2Plain"])
def test_a_space_for_nni_is_the_same_in_both_engines(name):
    node = {"_target_": f"nni_spaces.{name}"}
    py, base = (PyEngine(space=node, trust=["nni_spaces"]),
                BaseEngine((1, 8, 8), space=node, trust=["nni_spaces"]))  # fmt: skip
    image = torch.randn(2, 1, 8, 8)
    rng = Random(0)
    for sample in [py.space.default(), *(py.space.random(rng) for _ in range(3))]:
        assert base.space.canonical(sample) == sample
        ours, theirs = (one.build(one.recipe_of(sample)).eval() for one in (base, py))
        ours.load_state_dict(theirs.state_dict())
        assert torch.allclose(ours(image), theirs(image), atol=1e-6)


@pytest.mark.parametrize("unary", [kind.__name__ for kind in nni_spaces.nn.auto_activation.UNARY])
def test_every_unary_function_runs(unary):
    x = torch.linspace(0.1, 2, 5, requires_grad=True)
    model = nn.AutoActivation(1, [unary], ["BinaryAdd"])
    model(x).sum().backward()
    assert model(x).shape == x.shape and x.grad.isfinite().all()


@pytest.mark.parametrize("binary", [kind.__name__ for kind in nni_spaces.nn.auto_activation.BINARY])
def test_every_binary_function_runs(binary):
    x = torch.linspace(-2, 2, 5, requires_grad=True)
    model = nn.AutoActivation(2, ["UnaryTanh", "UnarySin"], [binary])
    model(x).sum().backward()
    assert model(x).shape == x.shape and x.grad.isfinite().all()


def test_labels_of_an_activation():
    found = asked(lambda: nn.AutoActivation(2, label="act"))
    assert [*found] == ["act/unary_0", "act/unary_1", "act/unary_2", "act/binary_0", "act/binary_1"]
    assert found["act/unary_0"].size == 24 and found["act/binary_0"].size == 10
