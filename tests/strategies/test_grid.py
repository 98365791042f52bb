"""Grid search: exactly what `enumerate` lists, in its order."""

import pytest

from runner.errors import ConfigError
from runner.space.choice import Categorical, Numeric
from runner.space.sample import Sample
from runner.space.space import FlatSpace
from runner.strategies.grid import Grid
from runner.trial import Trial


def search(strategy, first=0, limit=200):
    found = []
    for number in range(first, first + limit):
        try:
            found.append(strategy.propose(number))
        except StopIteration:
            break
        strategy.observe(Trial(number, found[-1], seed=0))
    return found


def test_the_last_choice_turns_fastest():
    space = FlatSpace([Categorical("a", (1, True)), Numeric("n", 2, 6, step=2)])
    expected: list[Sample] = [{"a": a, "n": n} for a in (1, True) for n in (2, 4, 6)]
    found = search(Grid(space, 0, resolution=5))
    assert found == expected
    assert [type(sample["a"]) for sample in found] == [int] * 3 + [bool] * 3


def test_a_continuous_choice_gives_points_from_end_to_end():
    space = FlatSpace([Numeric("x", 0.0, 1.0), Numeric("rate", 0.001, 0.1, log=True)])
    found = search(Grid(space, 0, resolution=3))
    assert [sample["x"] for sample in found[::3]] == [0.0, 0.5, 1.0]
    assert [sample["rate"] for sample in found[:3]] == [0.001, pytest.approx(0.01), 0.1]


def test_it_lists_what_enumerate_lists(space):
    expected = []
    for sample in space.enumerate(resolution=2):
        expected.append(sample)
        if len(expected) == 200:
            break
    assert search(Grid(space, 0, resolution=2)) == expected


def test_only_the_last_proposal_matters_on_resume(space):
    whole = search(Grid(space, 0, resolution=2), limit=43)
    for i, sample in enumerate(whole[:40]):
        resumed = Grid(space, 0, resolution=2)
        resumed.observe(Trial(i, sample, seed=0))
        assert search(resumed, i + 1, limit=3) == whole[i + 1 : i + 4]


def test_a_bad_resolution_is_refused():
    with pytest.raises(ConfigError, match=r"strategy.resolution is 0"):
        Grid(FlatSpace([]), 0, resolution=0)
