"""Regularized evolution, step by step as in the paper."""

from collections import Counter
from dataclasses import replace
from statistics import mean

import pytest

from runner.errors import ConfigError
from runner.space.choice import Categorical, Numeric, Subset
from runner.space.sample import generator, lookup
from runner.space.space import FlatSpace
from runner.strategies.evolution import Evolution
from runner.strategies.mutation import crossing, mutate
from runner.strategies.random import Random
from runner.trial import State, Trial

SPACE = FlatSpace([Categorical(f"c{i}", tuple(range(5))) for i in range(8)])


def observe(strategy, number, sample, score):
    trial = Trial(number, sample, seed=0)
    strategy.observe(trial)
    strategy.observe(
        replace(trial, state=State.FINISHED, scores=(score,))
        if score is not None
        else replace(trial, state=State.FAILED)
    )


def sample_of(value):
    return {f"c{i}": value for i in range(8)}


def distance(one, other):
    return sum(one[label] != other[label] for label in one)


def evolution(population_size=3, sample_size=3, retries=10, space=SPACE, seed=0, crossover=0.0):
    return Evolution(
        space, seed, population_size=population_size, sample_size=sample_size,
        crossover=crossover, retries=retries,
    )  # fmt: skip


def test_exactly_one_choice_of_the_best_changes():
    strategy = evolution(sample_size=3)
    for number, score in enumerate((0.1, 0.9, 0.5)):
        observe(strategy, number, sample_of(number), score)
    parents = Counter()
    for number in range(3, 303):
        child = strategy.propose(number)
        [parent] = [value for value in range(3) if distance(child, sample_of(value)) == 1]
        parents[parent] += 1
    # drawn with replacement, the best of three is among three draws in 1 - (2/3)^3 = 70% of cases
    assert parents[1] / 300 == pytest.approx(19 / 27, abs=0.07)
    assert parents[2] / 300 == pytest.approx(7 / 27, abs=0.07)
    assert parents[0] / 300 == pytest.approx(1 / 27, abs=0.04)


def test_the_parent_is_whose_child_was_proposed():
    strategy = evolution()
    assert strategy.parents == 3
    for number, score in enumerate((0.1, 0.9, 0.5)):
        strategy.propose(number)
        assert strategy.parent is None
        observe(strategy, number, sample_of(number), score)
    for number in range(3, 60):
        child = strategy.propose(number)
        assert distance(child, sample_of(strategy.parent)) == 1


def test_the_oldest_dies_though_it_is_the_best():
    strategy = evolution(population_size=2, sample_size=2)
    for number, score in enumerate((1.0, 0.2, 0.1)):
        observe(strategy, number, sample_of(number), score)
    children = [strategy.propose(number) for number in range(3, 60)]
    assert all(min(distance(c, sample_of(1)), distance(c, sample_of(2))) == 1 for c in children)


def test_failed_trials_never_join():
    strategy = evolution(population_size=2, sample_size=2)
    for number, score in enumerate((0.5, None, 0.5, None, None)):
        observe(strategy, number, sample_of(number), score)
    children = [strategy.propose(number) for number in range(5, 60)]
    assert all(min(distance(c, sample_of(0)), distance(c, sample_of(2))) == 1 for c in children)


def test_the_first_population_is_random_and_failed_ones_are_replaced():
    strategy = evolution(population_size=3, sample_size=1)
    random_distances = []
    for number, score in enumerate((0.5, None, 0.5, 0.5)):
        child = strategy.propose(number)
        random_distances.append(min(distance(child, sample_of(value)) for value in range(5)))
        observe(strategy, number, sample_of(number), score)
    assert min(random_distances) > 1
    child = strategy.propose(4)
    assert min(distance(child, sample_of(value)) for value in (0, 2, 3)) == 1


def test_while_the_first_population_still_runs_proposals_are_random():
    strategy = evolution(population_size=2, sample_size=1)
    for number in range(2):
        strategy.observe(Trial(number, sample_of(number), seed=0))
    assert SPACE.contains(strategy.propose(2))


def test_choices_that_come_up_through_a_mutation_are_random(space_of):
    def nested(ask):
        for i in range(ask(Numeric("depth", 1, 2, step=1))):
            ask(Categorical(f"op{i}", tuple(range(50))))

    space = space_of(nested)
    parent = space.walk(lookup({"depth": 1, "op0": 7}))
    children = [mutate(space, parent, generator(0, i)).sample for i in range(200)]
    deeper = [child for child in children if child["depth"] == 2]
    assert all(child["op0"] == 7 for child in deeper)
    assert len({child["op1"] for child in deeper}) > 20
    assert all(child["op0"] != 7 for child in children if child["depth"] == 1)


def test_a_value_that_is_no_candidate_any_more_is_drawn_again(space_of):
    def depends(ask):
        wide = ask(Categorical("wide", (False, True)))
        ask(Categorical("channels", (64, 128) if wide else (16, 32)))

    space = space_of(depends)
    parent = space.walk(lookup({"wide": False, "channels": 16}))
    children = [mutate(space, parent, generator(0, i)).sample for i in range(50)]
    assert {(child["wide"], child["channels"]) for child in children} == {
        (True, 64),
        (True, 128),
        (False, 32),
    }


def test_a_choice_with_one_candidate_is_never_picked():
    space = FlatSpace([Categorical("one", (1,)), Categorical("two", (1, 2)), Subset("all", 3, 3)])
    parent = space.walk(lookup({"one": 1, "two": 1, "all": [0, 1, 2]}))
    assert all(mutate(space, parent, generator(0, i)).sample["two"] == 2 for i in range(20))


def test_children_that_were_proposed_before_are_drawn_again():
    space = FlatSpace([Categorical("c", tuple(range(6)))])
    strategy = evolution(population_size=1, sample_size=1, retries=200, space=space)
    found = []
    for number in range(6):
        found.append(strategy.propose(number)["c"])
        observe(strategy, number, {"c": found[-1]}, 1.0)
    assert sorted(found) == list(range(6))
    assert strategy.propose(6)["c"] in range(6)  # nothing new is left: a repeat


def test_children_that_were_proposed_before_are_not_walked_again(space_of):
    walked = []

    def counted(ask):
        walked.append(ask(Categorical("c", tuple(range(6)))))

    strategy = evolution(population_size=1, sample_size=1, retries=200, space=space_of(counted))
    found = []
    for number in range(6):
        found.append(strategy.propose(number)["c"])
        observe(strategy, number, {"c": found[-1]}, 1.0)
    parents = found[:-1]
    assert walked == [found[0], *(c for pair in zip(parents, found[1:], strict=True) for c in pair)]


@pytest.mark.parametrize(
    ("population_size", "sample_size", "retries", "message"),
    [
        (0, 1, 1, r"strategy.population_size is 0"),
        (5, 0, 1, r"strategy.sample_size is 0.*strategy.population_size, which is 5"),
        (5, 6, 1, r"strategy.sample_size is 6.*strategy.population_size, which is 5"),
        (5, 2, -1, r"strategy.retries is -1"),
    ],
)
def test_bad_arguments_are_refused(population_size, sample_size, retries, message):
    with pytest.raises(ConfigError, match=message):
        evolution(population_size, sample_size, retries)


def test_a_crossover_has_each_value_from_one_of_two_parents():
    strategy = evolution(population_size=2, sample_size=1, crossover=1.0)
    for number in range(2):
        observe(strategy, number, sample_of(number), 0.5)
    mixed = [strategy.propose(number) for number in range(2, 200)]
    assert all({*child.values()} <= {0, 1} for child in mixed)
    ones = [sum(child.values()) for child in mixed if len({*child.values()}) > 1]
    assert mean(ones) == pytest.approx(4, abs=0.4)


def test_crossovers_are_as_frequent_as_told():
    strategy = evolution(population_size=2, sample_size=1, crossover=0.25)
    for number in range(2):
        observe(strategy, number, sample_of(number), 0.5)
    children = [strategy.propose(number) for number in range(2, 602)]
    far = sum(min(distance(c, sample_of(0)), distance(c, sample_of(1))) > 1 for c in children)
    # half of the crossovers have two different parents, and 93% of those differ from both by more
    assert far / 600 == pytest.approx(0.25 * 0.5 * 0.93, abs=0.05)


def test_a_crossover_answers_what_only_one_parent_was_asked(space_of):
    def nested(ask):
        for i in range(ask(Numeric("depth", 1, 3, step=1))):
            ask(Categorical(f"op{i}", tuple(range(9))))

    shallow, deep = {"depth": 1, "op0": 1}, {"depth": 3, "op0": 2, "op1": 3, "op2": 4}
    space = space_of(nested)
    found = [space.walk(crossing(shallow, deep, generator(0, i))).sample for i in range(60)]
    assert {child["depth"] for child in found} == {1, 3}
    assert {child["op0"] for child in found} == {1, 2}
    assert all((child["op1"], child["op2"]) == (3, 4) for child in found if child["depth"] == 3)


def test_children_that_the_space_refuses_are_drawn_again(space_of):
    def broken(ask):
        stride = ask(Categorical("stride", (2, 1, 0, -1)))
        ask(Categorical("size", tuple(8 // stride + i for i in range(9))))
        ask(Categorical("more", tuple(range(20))))

    space = space_of(broken)
    strategy = evolution(population_size=1, sample_size=1, retries=30, space=space)
    observe(strategy, 0, {"stride": 1, "size": 8, "more": 0}, 0.5)
    for number in range(1, 60):
        child = strategy.propose(number)
        assert child["stride"] != 0
        observe(strategy, number, child, None)


def test_it_finds_more_than_random_search(drive):
    space = FlatSpace([Categorical(f"c{i}", tuple(range(5))) for i in range(20)])

    def score(sample):
        return sum(value == 1 for value in sample.values())

    def best(strategy):
        return max(event.score or 0 for event in drive(strategy, score, trials=200))

    evolved = mean(best(evolution(20, 5, space=space, seed=seed)) for seed in range(8))
    drawn = mean(best(Random(space, seed)) for seed in range(8))
    assert evolved > drawn + 3


@pytest.mark.parametrize("crossover", [-0.1, 1.1])
def test_a_bad_probability_is_refused(crossover):
    with pytest.raises(ConfigError, match=r"strategy.crossover is .*; it must be a probability"):
        evolution(crossover=crossover)
