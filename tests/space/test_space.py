"""Spaces: how they are walked, listed and joined; the spaces of the primitives."""

import itertools

import pytest
import torch
from functions import FunctionSpace, ask_tree, trees
from hypothesis import given
from hypothesis import strategies as st

from runner import nn
from runner.errors import ConfigError, SampleError, SpaceError
from runner.space.choice import Categorical, Numeric, Subset
from runner.space.sample import generator, lookup, sample_key
from runner.space.space import FlatSpace, JointSpace, Space, search_space


class ModuleSpace(Space):
    """What a module's `__init__` asks for."""

    def __init__(self, make):
        self.make = make

    def draw(self, choose):
        with nn.draw(choose) as sample:
            self.make()
        return sample


TREES = trees(max_leaves=8)


def list_tree(tree, path=""):
    """All samples of a tree, by brute force, in order."""
    parts = []
    for i, branches in enumerate(tree):
        label = f"{path}/{i}"
        parts.append(
            [
                {label: value} | below
                for value, branch in enumerate(branches)
                for below in list_tree(branch, f"{label}={value}")
            ]
        )
    return [{k: v for part in pick for k, v in part.items()} for pick in itertools.product(*parts)]


@given(TREES)
def test_enumerate_lists_what_brute_force_does_in_order(tree):
    space = FunctionSpace(lambda ask: ask_tree(ask, tree))
    assert list(space.enumerate()) == list_tree(tree)


@given(TREES, st.data())
def test_enumerate_goes_on_behind_any_sample(tree, data):
    space = FunctionSpace(lambda ask: ask_tree(ask, tree))
    samples = list(space.enumerate())
    i = data.draw(st.integers(0, len(samples) - 1))
    assert list(space.enumerate(after=samples[i])) == samples[i + 1 :]


@given(TREES, st.integers(0, 100))
def test_random_samples_are_contained_and_read_back(tree, seed):
    space = FunctionSpace(lambda ask: ask_tree(ask, tree))
    sample = space.random(generator(seed))
    assert space.contains(sample)
    assert space.draw(lookup(sample)) == sample
    assert not space.contains(sample | {"unknown": 0})
    if sample:
        assert not space.contains({k: sample[k] for k in list(sample)[1:]})


def test_enumerate_tells_one_from_true():
    space = FlatSpace([Categorical("a", (1, True, 0, False))])
    assert [repr(sample["a"]) for sample in space.enumerate()] == ["1", "True", "0", "False"]


def test_enumerate_lists_points_of_a_continuous_choice():
    space = FlatSpace([Categorical("a", (1, 2)), Numeric("x", 0.0, 1.0)])
    listed = [(s["a"], s["x"]) for s in space.enumerate(resolution=2)]
    assert listed == [(1, 0.0), (1, 1.0), (2, 0.0), (2, 1.0)]
    with pytest.raises(SpaceError, match=r"'x' .* is continuous"):
        list(space.enumerate())


def test_enumerate_survives_samples_whose_code_raises():
    def divide(ask):
        by = ask(Categorical("by", (2, 0, 1)))
        ask(Categorical("half", (4 // by, 7)))

    samples = list(FunctionSpace(divide).enumerate())
    assert [[*sample.values()] for sample in samples] == [[2, 2], [2, 7], [0], [1, 4], [1, 7]]


def test_a_walk_that_broke_off_says_why():
    space = FunctionSpace(lambda ask: 1 // ask(Categorical("by", (1, 0))))
    assert space.walk(lambda choice: 1).broken is None
    walk = space.walk(lambda choice: 0)
    assert (walk.sample, str(walk.broken)) == ({"by": 0}, "integer division or modulo by zero")


def test_a_label_is_asked_once():
    asked = []

    def twice(ask):
        assert ask(Categorical("a", (1, 2))) == ask(Categorical("a", (1, 2)))

    FunctionSpace(twice).draw(lambda choice: asked.append(choice.label) or 2)
    assert asked == ["a"]


def test_a_label_for_two_choices_is_refused_with_both():
    def clash(ask):
        ask(Categorical("a", (1, 2)))
        ask(Categorical("a", (1, 3)))

    with pytest.raises(SpaceError, match=r"'a' is used by two choices: 1, 2; and 1, 3"):
        FunctionSpace(clash).default()


def test_a_missing_label_is_named():
    space = FlatSpace([Categorical("width", (1, 2))])
    with pytest.raises(SampleError, match=r"no value for 'width' \(1, 2\). Did you mean 'widht'"):
        space.draw(lookup({"widht": 1}))


def test_sample_keys_do_not_depend_on_the_order_of_labels():
    assert sample_key({"a": 1, "b": [2.0]}) == sample_key({"b": [2], "a": 1.0})
    assert sample_key({"a": 1}) != sample_key({"a": True})


def test_generators_depend_on_seed_and_place():
    assert generator(0, 1).random() == generator(0, 1).random()
    assert len({generator(s, n).random() for s in range(9) for n in range(9)}) == 81


def test_joint_spaces_stand_side_by_side():
    space = JointSpace([FlatSpace([Subset("a", 2, 1)]), FlatSpace([Categorical("b", (1, 2))])])
    assert len(list(space.enumerate())) == 4
    with pytest.raises(ConfigError, match="'b' is used by the model space and by search"):
        JointSpace([space, FlatSpace([Categorical("b", (1, 2))])]).default()


def test_the_search_section_makes_a_space():
    space = search_space(
        {
            "optimizer": ["adam", "sgd"],
            "lr": {"low": 1e-4, "high": 0.1, "log": True},
            "n": {"low": 1, "high": 5, "step": 2},
        }
    )
    assert space.choices == [
        Categorical("optimizer", ("adam", "sgd")),
        Numeric("lr", 1e-4, 0.1, log=True),
        Numeric("n", 1, 5, step=2),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"search.lr is 3; it must be a list of candidates or a range"),
        ({"low": 1, "high": 2, "logg": True}, r"unknown key 'logg'.*Did you mean 'log'"),
        ({"low": "1", "high": 2}, r"search.lr.low is '1'; it must be a number"),
        ({"low": 0.1, "high": 2, "step": 1}, r"search.lr: a step requires whole numbers"),
    ],
)
def test_a_wrong_search_section_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        search_space({"lr": given})


class AddOne(torch.nn.Module):
    def forward(self, x):
        return x + 1


def outputs(make):
    """What the models of a space give for zeros, by sample in order."""
    found = []
    for sample in ModuleSpace(make).enumerate():
        with nn.sample(sample, strict=True):
            found.append(make()(torch.zeros(1)).item())
    return found


def test_a_repeat_of_choices_from_a_factory_has_twelve_samples():
    def make():
        return nn.Repeat(lambda i: nn.LayerChoice([AddOne, torch.nn.Identity]), (2, 3))

    assert len(list(ModuleSpace(make).enumerate())) == 12
    assert sorted(outputs(make)) == sorted([0, 1, 1, 2, 0, 1, 1, 1, 2, 2, 2, 3])


def test_a_repeat_of_one_module_ties_its_choices():
    def make():
        return nn.Repeat(nn.LayerChoice([AddOne(), torch.nn.Identity()]), (3, 5))

    assert sorted(outputs(make)) == [0, 0, 0, 3, 4, 5]


def test_a_repeat_has_exactly_its_depths():
    assert outputs(lambda: nn.Repeat(AddOne(), (3, 5))) == [3, 4, 5]


def test_a_shared_label_is_one_dimension():
    def make():
        return [nn.ValueChoice([1, 2, 3], label="width") for _ in range(2)]

    assert list(ModuleSpace(make).enumerate()) == [{"width": width} for width in (1, 2, 3)]


def test_nested_choices_are_asked_only_when_chosen():
    def make():
        return nn.LayerChoice(
            [lambda: nn.LayerChoice([AddOne, AddOne, AddOne], label="inner"), torch.nn.Identity],
            label="outer",
        )

    assert outputs(make) == [1, 1, 1, 0]
    assert {"outer": 1} in ModuleSpace(make).enumerate()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 1, "high": 9, "step": 0}, "step is 0; it must be at least 1"),
        ({"low": 1, "high": 9, "step": 1.5}, r"search.lr.step is 1.5; it must be a whole number"),
        ({"low": 1, "high": 9, "step": True}, r"search.lr.step is true"),
        ({"low": 1, "high": 9, "log": "yes"}, r"search.lr.log is 'yes'; it must be true or false"),
        ({"low": float("nan"), "high": 9}, "both ends must be finite"),
        ({"low": 1, "high": 10**400}, "both ends must be finite"),
        ({"low": -1.5e308, "high": 1.5e308}, "both ends must be finite, and at most"),
        ([], "has no candidates"),
    ],
)
def test_a_wrong_range_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        search_space({"lr": given})
