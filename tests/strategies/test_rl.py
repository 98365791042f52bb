"""REINFORCE: what the controller learns, and from what it starts."""

from dataclasses import replace

import pytest
import torch

from runner.errors import ConfigError
from runner.space.choice import Categorical, Numeric, Subset
from runner.space.sample import generator, sample_key
from runner.space.space import FlatSpace
from runner.strategies.rl import Baseline, Controller, Reinforce
from runner.trial import Failure, State, Trial

GIVEN = {
    "hidden": 16, "learning_rate": 0.02, "decay": 0.9, "entropy": 0.01, "bins": 4, "retries": 10,
}  # fmt: skip


def finished(number, sample, *scores, violation=0.0):
    return Trial(number, sample, 0, State.FINISHED, scores=scores, violation=violation)


def learn(space, score, trials, seed=0):
    """A search whose every trial is new to it, so that it may repeat itself."""
    strategy = Reinforce(space, seed, **GIVEN)
    for number in range(trials):
        sample = strategy.propose(number)
        strategy.observe(finished(number, sample, score(sample)))
    return strategy


def share(strategy, holds, draws=60):
    return sum(holds(strategy.propose(10_000 + i)) for i in range(draws)) / draws


def test_good_values_become_likely():
    space = FlatSpace([Categorical(f"c{i}", ("a", "b", "c")) for i in range(3)])
    strategy = learn(space, lambda sample: float([*sample.values()].count("b")), 150)
    assert share(strategy, lambda s: s["c0"] == "b") > 0.8
    assert share(strategy, lambda s: s["c2"] == "b") > 0.8


def test_a_decision_may_depend_on_an_earlier_one():
    space = FlatSpace([Categorical("first", (0, 1)), Categorical("second", (0, 1))])
    strategy = learn(space, lambda sample: float(sample["first"] != sample["second"]), 200)
    assert share(strategy, lambda s: s["first"] != s["second"]) > 0.9


def test_good_bins_of_ranges_and_good_members_of_large_subsets_become_likely():
    space = FlatSpace([Numeric("x", 1.0, 81.0, log=True), Subset("many", 8, None)])
    strategy = learn(space, lambda s: float(3 <= s["x"] < 9) + float(5 in s["many"]), 200)
    assert share(strategy, lambda s: 3 <= s["x"] < 9) > 0.7
    assert share(strategy, lambda s: 5 in s["many"]) > 0.8


def test_scores_count_by_their_distance_alone_not_by_their_scale():
    space = FlatSpace([Categorical(f"c{i}", tuple(range(4))) for i in range(5)])

    def proposals(scale):
        strategy = learn(space, lambda sample: scale * sum(sample.values()), 20)
        return [strategy.propose(100 + i) for i in range(10)]

    assert proposals(1.0) == proposals(1024.0)


def test_a_sample_is_never_proposed_twice_though_it_is_all_but_certain():
    space = FlatSpace([Categorical("a", (0, 1)), Categorical("b", tuple(range(30)))])
    strategy = learn(space, lambda sample: float(sample == {"a": 1, "b": 7}), 300)
    found = []
    with pytest.raises(StopIteration):
        for number in range(300, 400):
            sample = strategy.propose(number)
            strategy.observe(Trial(number, sample, seed=0))
            found.append(sample)
    assert len({sample_key(sample) for sample in found}) == len(found) == 60


def test_what_breaks_constraints_counts_as_the_worst():
    baseline = Baseline(0.9)
    baseline.advantage(finished(0, {}, 1.0))
    baseline.advantage(finished(1, {}, 3.0))
    assert baseline.advantage(finished(2, {}, 9.0, violation=0.5)) < 0
    assert baseline.advantage(finished(3, {}, 9.0)) > 0


def test_the_baseline_follows_the_scores():
    baseline = Baseline(0.5)
    for number in range(30):
        last = baseline.advantage(finished(number, {}, 1.0 if number < 15 else 2.0))
    assert last == pytest.approx(0.0, abs=0.1)
    assert baseline.advantage(finished(30, {}, 1.0)) < 0


def test_weights_follow_from_the_seed_and_the_name_alone():
    one, two, other = Controller(0, 4, 0.1), Controller(0, 4, 0.1), Controller(1, 4, 0.1)
    two.weight("b", 3, 4)
    assert torch.equal(one.weight("a", 4, 4), two.weight("a", 4, 4))
    assert not torch.equal(one.weight("a", 4, 4), other.weight("a", 4, 4))
    assert not torch.equal(one.weight("a", 4, 4), one.weight("b", 4, 4))


def test_the_generator_of_torch_is_neither_read_nor_changed():
    space = FlatSpace([Categorical(f"c{i}", tuple(range(4))) for i in range(5)])
    before = torch.get_rng_state()
    first = learn(space, lambda sample: float(sample["c0"]), 5).propose(9)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert learn(space, lambda sample: float(sample["c0"]), 5).propose(9) == first


def test_after_refusals_in_a_row_samples_are_random():
    space = FlatSpace([Categorical(f"c{i}", (0, 1)) for i in range(10)])
    strategy = learn(space, lambda sample: float(sum(sample.values())), 200)
    assert share(strategy, lambda s: sum(s.values()) >= 8) > 0.8
    for number in range(8):
        trial = Trial(number, space.random(generator(0, number)), seed=0)
        strategy.observe(trial)
        strategy.observe(
            replace(trial, state=State.FAILED, failure=Failure("refused", "does not fit"))
        )
    assert share(strategy, lambda s: sum(s.values()) >= 8) < 0.3


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("hidden", 0, "at least 1"),
        ("learning_rate", 0.0, "above 0"),
        ("decay", 1.0, "at least 0, and below 1"),
        ("entropy", -0.1, "0 or more"),
        ("bins", 1, "at least 2"),
        ("retries", -1, "0 or more"),
    ],
)
def test_bad_arguments_are_refused(name, value, rule):
    with pytest.raises(ConfigError, match=rf"strategy.{name} is {value}; it must be {rule}"):
        Reinforce(FlatSpace([]), 0, **(GIVEN | {name: value}))
