"""Given samples come first, whatever the strategy; incomplete ones are completed."""

from dataclasses import replace

import pytest

from runner.errors import ConfigError
from runner.space.choice import Categorical, Numeric
from runner.space.sample import sample_key
from runner.space.space import FlatSpace
from runner.strategies.evolution import Evolution
from runner.strategies.first import First, completed
from runner.strategies.grid import Grid
from runner.strategies.random import Random
from runner.trial import State, Trial

SPACE = FlatSpace([Categorical("a", (1, 2, 3)), Categorical("b", (1, 2))])
GIVEN = [{"a": 3, "b": 2}, {"a": 1, "b": 2}]


def search(strategy, trials, score=lambda sample: 0.0):
    found = []
    for number in range(trials):
        try:
            sample = strategy.propose(number)
        except StopIteration:
            break
        trial = Trial(number, sample, seed=0)
        strategy.observe(trial)
        strategy.observe(replace(trial, state=State.FINISHED, scores=(score(sample),)))
        found.append(sample)
    return found


def test_given_samples_come_in_order_and_once():
    found = search(First(Random(SPACE, 0), [*GIVEN, GIVEN[0]]), 20)
    assert found[:2] == GIVEN
    assert len({sample_key(sample) for sample in found}) == len(found) == 6


def test_a_strategy_learns_from_them():
    evolution = Evolution(SPACE, 0, population_size=2, sample_size=2, crossover=0.0, retries=10)
    strategy = First(evolution, GIVEN)
    search(strategy, 2, score=lambda sample: float(sample["a"]))
    strategy.propose(2)
    assert strategy.parent == 0
    assert strategy.parents == 2


def test_a_grid_begins_at_its_beginning_though_they_lie_at_its_end():
    found = search(First(Grid(SPACE, 0, resolution=2), GIVEN), 20)
    assert found == [*GIVEN, *search(Grid(SPACE, 0, resolution=2), 20)]


def test_incomplete_samples_are_completed_at_random_but_always_alike():
    found = {completed(SPACE, {"a": 2}, seed, "first[0]")["b"] for seed in range(20)}
    assert found == {1, 2}
    one, other = (completed(SPACE, {"a": 2}, 5, "first[0]") for _ in range(2))
    assert one == other and one["a"] == 2


def nested(ask):
    for i in range(ask(Numeric("depth", 1, 5, step=1))):
        ask(Categorical(f"op{i}", ("conv", "pool")))


def test_a_given_value_decides_whether_its_choice_is_asked(space_of):
    for seed in range(10):
        assert completed(space_of(nested), {"op4": "pool"}, seed, "first[0]")["depth"] == 5


def test_a_sample_is_completed_to_one_that_can_be_built(space_of):
    def broken(ask):
        stride = ask(Categorical("stride", (2, 1, 0)))
        ask(Categorical("size", tuple(8 // stride + i for i in range(3))))

    for seed in range(10):
        assert completed(space_of(broken), {}, seed, "first[0]")["stride"] > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"op0": "con"}, r"^f\[0\]: Choice 'op0' was given 'con'; its candidates are 'conv', 'po"),
        ({"opp": "conv"}, r"^f\[0\] has the label 'opp', which no .* Did you mean 'op\d' or"),
        ({"depth": 1, "op3": "conv"}, r"^f\[0\] gives 'op3' a value, but its other values rule"),
    ],
)
def test_what_is_not_in_the_space_is_refused(space_of, given, message):
    with pytest.raises(ConfigError, match=message):
        completed(space_of(nested), given, 0, "f[0]")


def test_a_sample_that_cannot_be_built_is_refused(space_of):
    def broken(ask):
        ask(Categorical("by", (1 // ask(Categorical("n", (0, 1))), 7)))

    with pytest.raises(ConfigError, match=r"^f\[0\]: no model could be built with {'n': 0}"):
        completed(space_of(broken), {"n": 0}, 0, "f[0]")
