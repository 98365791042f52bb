"""Duplicates: which trial a repeated sample shares its result with, and when a space is used up."""

import pytest

from runner.duplicates import PATIENCE, Duplicates
from runner.errors import Refused
from runner.space.choice import Categorical, Numeric
from runner.space.sample import sample_key
from runner.space.space import FlatSpace
from runner.trial import Trial

SPACE = FlatSpace([Categorical("x", (1, 2))])


def proposed(duplicates, number, x):
    key, _ = duplicates.key({"x": x})
    first = duplicates.first(key)
    duplicates.observe(Trial(number=number, sample={"x": x}, seed=0, key=key))
    return first


def test_the_first_trial_with_a_key_is_that_of_all_that_follow():
    duplicates = Duplicates(SPACE, sample_key, enabled=True)
    firsts = [proposed(duplicates, number, x) for number, x in enumerate([1, 2, 1, 1, 2])]
    assert firsts == [None, None, 0, 0, 1]
    assert len(duplicates) == 2


def test_followers_are_given_once():
    duplicates = Duplicates(SPACE, sample_key, enabled=True)
    duplicates.follow(0, 3)
    duplicates.follow(0, 5)
    assert [*duplicates.followers(0)] == [3, 5]
    assert [*duplicates.followers(0)] == []


def test_without_sharing_no_sample_has_a_first_trial_and_no_space_is_used_up():
    duplicates = Duplicates(SPACE, sample_key, enabled=False)
    assert [proposed(duplicates, number, 1) for number in range(PATIENCE + 2)][-1] is None
    assert not duplicates.use_up_space()


@pytest.mark.parametrize("refused", [False, True])
def test_a_space_is_used_up_when_every_sample_was_proposed_or_is_refused(refused):
    def key(sample):
        if sample["x"] == 2 and refused:
            raise Refused("too wide")
        return sample_key(sample)

    duplicates = Duplicates(SPACE, key, enabled=True)
    for number in range(PATIENCE + 1):
        assert not duplicates.use_up_space()
        proposed(duplicates, number, 1)
    assert duplicates.use_up_space() is refused
    assert isinstance(duplicates.key({"x": 2})[1], Refused) is refused


def test_a_continuous_space_is_never_used_up():
    duplicates = Duplicates(FlatSpace([Numeric("x", 0.0, 1.0)]), sample_key, enabled=True)
    for number in range(PATIENCE + 1):
        proposed(duplicates, number, 0.5)
    assert not duplicates.use_up_space()
