"""Local search: where it stands, where it moves, when it starts again."""

from collections import Counter
from dataclasses import replace

import pytest

from runner.errors import ConfigError
from runner.space.choice import Categorical, Numeric, Subset
from runner.space.sample import generator, sample_key
from runner.space.space import FlatSpace
from runner.strategies.local_search import LocalSearch, neighbours
from runner.trial import State, Trial

SPACE = FlatSpace([Categorical(f"c{i}", (0, 1, 2)) for i in range(4)])  # each has 8 neighbours


def search(space=SPACE, seed=0, starts=1, first_improvement=False, values=8):
    return LocalSearch(
        space, seed, starts=starts, first_improvement=first_improvement, values=values
    )


def end(strategy, trial, *scores, violation=0.0):
    ended = replace(trial, state=State.FINISHED, scores=scores, violation=violation)
    strategy.observe(ended if scores else replace(trial, state=State.FAILED))


def begin(strategy, number):
    trial = Trial(number, strategy.propose(number), seed=0, parent=strategy.parent)
    strategy.observe(trial)
    return trial


def distance(one, other):
    return sum(one[label] != other[label] for label in one)


def total(sample):
    return float(sum(sample.values()))


def test_all_neighbours_come_before_it_moves_to_the_best_of_them():
    strategy = search()
    start = begin(strategy, 0)
    end(strategy, start, 0.0)
    tried = [begin(strategy, number) for number in range(1, 9)]
    assert all(distance(trial.sample, start.sample) == 1 for trial in tried)
    assert len({sample_key(trial.sample) for trial in tried}) == 8
    assert {trial.parent for trial in tried} == {0}
    for trial in tried:
        end(strategy, trial, 2.0 if trial.number == 5 else 1.0)
    there = tried[4].sample
    further = begin(strategy, 9)
    assert further.parent == 5
    assert distance(further.sample, there) == 1 and distance(further.sample, start.sample) > 1


def test_it_moves_to_the_first_improvement_if_told_so():
    strategy = search(first_improvement=True)
    end(strategy, begin(strategy, 0), 0.0)
    worse, better = begin(strategy, 1), begin(strategy, 2)
    end(strategy, worse, -1.0)
    assert begin(strategy, 3).parent == 0
    end(strategy, better, 1.0)
    assert begin(strategy, 4).parent == 2


def test_at_a_peak_it_starts_again_from_a_random_sample():
    strategy = search()
    for number in range(9):
        end(strategy, begin(strategy, number), 0.0)  # none is better than where it stands
    again = begin(strategy, 9)
    assert again.parent is None
    end(strategy, again, -5.0)
    assert begin(strategy, 10).parent == 9, "the new climb is not held by the old one"


def test_a_climb_starts_at_the_best_of_some_random_trials():
    strategy = search(starts=4)
    trials = [begin(strategy, number) for number in range(4)]
    for trial in trials:
        assert trial.parent is None
        end(strategy, trial, float(trial.number == 2))
    assert begin(strategy, 4).parent == 2


def test_starts_that_failed_are_replaced_only_if_all_did():
    strategy = search(starts=2)
    end(strategy, begin(strategy, 0))
    end(strategy, begin(strategy, 1))
    third = begin(strategy, 2)
    assert third.parent is None
    end(strategy, third, 1.0)
    assert begin(strategy, 3).parent == 2


def test_while_the_last_neighbours_run_other_slots_try_starts_of_the_next_climb():
    strategy = search()
    end(strategy, begin(strategy, 0), 0.0)
    tried = [begin(strategy, number) for number in range(1, 9)]
    ahead = begin(strategy, 9)
    assert ahead.parent is None
    end(strategy, ahead, 0.5)
    for trial in tried:
        end(strategy, trial, -1.0)
    assert begin(strategy, 10).parent == 9


def test_results_of_earlier_trials_count_as_neighbours():
    strategy = search()
    end(strategy, begin(strategy, 0), 0.0)
    tried = [begin(strategy, number) for number in range(1, 9)]
    for trial in tried:
        end(strategy, trial, 1.0 + trial.number)
    count = Counter(sample_key(begin(strategy, number).sample) for number in range(9, 60))
    assert not count.keys() & {sample_key(trial.sample) for trial in tried}


def test_what_breaks_constraints_is_no_improvement():
    strategy = search(first_improvement=True)
    end(strategy, begin(strategy, 0), 0.0)
    end(strategy, begin(strategy, 1), 9.0, violation=0.1)
    assert begin(strategy, 2).parent == 0


def test_climbs_weigh_several_objectives_differently():
    moves = Counter()
    for seed in range(20):
        strategy = search(seed=seed)
        end(strategy, begin(strategy, 0), 0.0, 0.0)
        for trial in [begin(strategy, number) for number in range(1, 9)]:
            end(strategy, trial, *{1: (1.0, 0.0), 2: (0.0, 1.0)}.get(trial.number, (0.0, 0.0)))
        moves[begin(strategy, 9).parent] += 1
    assert {*moves} == {1, 2}
    assert min(moves.values()) >= 4


def test_of_several_objectives_the_scale_does_not_count():
    def parent(scale):
        strategy = search(seed=1)
        end(strategy, begin(strategy, 0), 0.0, 0.0)
        for trial in [begin(strategy, number) for number in range(1, 9)]:
            first, second = {1: (1.0, 0.0), 2: (0.0, 1.0)}.get(trial.number, (0.0, 0.0))
            end(strategy, trial, first * scale, second)
        return begin(strategy, 9).parent

    assert parent(1.0) == parent(1e6) == parent(1e-6)


def test_it_reaches_the_optimum_of_a_smooth_function_by_few_trials(drive):
    space = FlatSpace([Categorical(f"c{i}", tuple(range(5))) for i in range(8)])  # 390,625 samples
    for seed in range(5):
        seen = drive(search(space, seed), total, trials=300)
        assert max(trial.score or 0 for trial in seen) == 32


def test_neighbours_differ_in_one_choice_and_what_comes_up_is_random(space_of):
    def nested(ask):
        for i in range(ask(Numeric("depth", 1, 2, step=1))):
            ask(Categorical(f"op{i}", tuple(range(5))))

    space = space_of(nested)
    found = [walk.sample for walk in neighbours(space, {"depth": 1, "op0": 3}, 8, generator(0))]
    assert sorted(s["op0"] for s in found if s["depth"] == 1) == [0, 1, 2, 4]
    assert [s["op0"] for s in found if s["depth"] == 2] == [3]


def test_of_large_choices_some_values_are_drawn():
    space = FlatSpace([Numeric("x", 0.0, 1.0), Subset("many", 10, 5)])
    center = {"x": 0.5, "many": [0, 1, 2, 3, 4]}
    found = [walk.sample for walk in neighbours(space, center, 3, generator(0))]
    assert sorted(distance(sample, center) for sample in found) == [1] * 6
    assert len({sample_key(sample) for sample in found}) == 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"starts": 0}, r"strategy.starts is 0; it must be at least 1"),
        ({"values": 0}, r"strategy.values is 0; it must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        search(**given)
