"""Priors: weights of random draws, in the choice or by label."""

import math
from collections import Counter

import pytest
from functions import FunctionSpace

from runner.errors import ConfigError, SpaceError
from runner.space.choice import Categorical, Numeric, Subset
from runner.space.prior import WeightedSpace
from runner.space.sample import generator
from runner.space.space import FlatSpace

CHOICES = [
    Categorical("c", ("a", "b", "c")), Numeric("c", 2, 6, step=2), Subset("c", 3, 1)
]  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_draws_follow_the_weights(choice):
    weighted = choice.with_prior([1, 3, 0])
    rng = generator(0)
    counts = Counter(choice.place(weighted.random(rng)) for _ in range(800))
    assert counts[0] == pytest.approx(200, abs=45)
    assert counts[2] == 0


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_mutations_follow_the_weights_of_the_other_values(choice):
    weighted = choice.with_prior([1, 3, 1])
    rng = generator(0)
    first, second, third = choice.values()
    counts = Counter(choice.place(weighted.mutate(first, rng)) for _ in range(800))
    assert counts[0] == 0 and counts[2] == pytest.approx(200, abs=45)
    only = choice.with_prior([0, 1, 0])
    assert only.mutate(third, rng) == second
    assert only.mutate(second, rng) == second, "no other one has a weight"


def test_a_choice_is_the_same_with_another_prior():
    for choice in CHOICES:
        assert choice.with_prior([1, 2, 3]) == choice
        assert str(choice.with_prior([1, 2, 3])) == str(choice)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ([1, 2], r"^Choice 'c' has the prior \[1, 2\]; it must be 3 weights, one for each of its "),
        ([1, -2, 1], r"has the prior \[1, -2, 1\]; a weight must be a finite number, 0 or more"),
        ([1, math.inf, 1], r"a weight must be a finite number"),
        ([1, math.nan, 1], r"a weight must be a finite number"),
        ([1, "2", 1], r"a weight must be a finite number"),
        ([0, 0, 0], r"at least one weight must be above 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(prior, message):
    for choice in CHOICES:
        with pytest.raises(SpaceError, match=message):
            choice.with_prior(prior)
    with pytest.raises(ConfigError, match=r"^prior\.c: Choice 'c' has the prior"):
        WeightedSpace(FlatSpace([CHOICES[0]]), {"c": prior})


def test_a_continuous_choice_has_no_prior():
    with pytest.raises(SpaceError, match=r"but is continuous"):
        Numeric("x", 0.0, 1.0).with_prior([1.0])


def nested(ask):
    for i in range(ask(Numeric("depth", 1, 3, step=1))):
        ask(Categorical(f"op{i}", ("conv", "pool"), prior=(1, 1)))


def test_a_space_is_weighed_by_label_also_where_a_choice_has_a_prior():
    space = WeightedSpace(FunctionSpace(nested), {"depth": [0, 0, 1], "op2": [0, 1]})
    for i in range(20):
        sample = space.random(generator(0, i))
        assert sample["depth"] == 3 and sample["op2"] == "pool"
    assert {space.random(generator(0, i))["op0"] for i in range(20)} == {"conv", "pool"}
    assert space.count() == 2 + 4 + 8, "samples without a weight belong to the space"


def test_an_unknown_label_is_refused():
    message = r"^prior has the label 'dept', which no choice .* Did you mean 'depth'\?"
    with pytest.raises(ConfigError, match=message):
        WeightedSpace(FunctionSpace(nested), {"dept": [1, 2, 3]})
