"""BANANAS: what its predictors see, and what it makes of them."""

import math
from dataclasses import replace

import pytest

from runner.errors import ConfigError
from runner.space.choice import Categorical, Numeric, Subset
from runner.space.sample import generator, lookup, sample_key
from runner.space.space import FlatSpace
from runner.strategies.bananas import Bananas, Features, _quantiles
from runner.trial import Failure, State, Trial

SPACE = FlatSpace([Categorical(f"c{i}", (0, 1, 2, 3)) for i in range(6)])
GIVEN = {
    "startup": 8, "best": 5, "candidates": 60, "rounds": 3, "members": 3, "width": 16, "steps": 40,
    "learning_rate": 0.02, "paths": None,
}  # fmt: skip


def search(space, score, trials, seed=0, **given):
    strategy = Bananas(space, seed, **(GIVEN | given))
    best = -math.inf
    seen = set()
    for number in range(trials):
        trial = Trial(number, strategy.propose(number), seed=0)
        strategy.observe(trial)
        strategy.observe(replace(trial, state=State.FINISHED, scores=(score(trial.sample),)))
        best = max(best, score(trial.sample))
        seen.add(sample_key(trial.sample))
    assert len(seen) == trials
    return strategy, best


def total(sample):
    return float(sum(sample.values()))


def test_it_finds_the_best_of_thousands_in_a_few_dozen_trials():
    for seed in range(4):  # of 4,096
        assert search(SPACE, total, 60, seed)[1] >= 17


def test_only_the_order_of_scores_counts():
    one, _ = search(SPACE, total, 15)
    other, _ = search(SPACE, lambda sample: math.exp(total(sample)), 15)
    assert [one.propose(20 + i) for i in range(5)] == [other.propose(20 + i) for i in range(5)]


def test_it_keeps_away_from_what_is_refused_by_constraints():
    """What breaks a constraint tells as much as a trial, though it was never trained."""
    strategy, _ = search(SPACE, total, 12)
    for number in range(100, 130):
        trial = Trial(number, SPACE.random(generator(0, number)) | {"c0": 3}, seed=0)
        strategy.observe(trial)
        failure = Failure("refused", "too large")
        strategy.observe(replace(trial, state=State.FAILED, failure=failure, violation=1.0))
    accepted = Trial(130, {f"c{i}": 0 for i in range(6)}, seed=0)
    strategy.observe(accepted)
    strategy.observe(replace(accepted, state=State.FINISHED, scores=(0.0,)))
    proposed = [strategy.propose(200 + i) for i in range(20)]
    assert sum(sample["c0"] == 3 for sample in proposed) <= 2


def test_a_parent_is_one_of_the_best():
    strategy, _ = search(SPACE, total, 30, best=2)
    ranked = sorted(strategy._known, key=lambda known: -known[0].scores[0])
    parents = set()
    for number in range(30, 50):
        strategy.propose(number)
        parents.add(strategy.parent)
    assert parents - {None}
    assert parents <= {None, *(trial.number for trial, _ in ranked[:2])}


def test_features_are_one_hot_or_the_position_in_a_range():
    space = FlatSpace([
        Categorical("op", ("conv", "pool")), Numeric("rate", 1e-3, 1e-1, log=True),
        Categorical("one", (1,)), Subset("many", 7, None),
    ])  # fmt: skip
    features = Features(())
    sample = {"op": "pool", "rate": 1e-2, "one": 1, "many": [0, 6]}
    row = features.row(space.walk(lookup(sample)))
    assert {name.partition(":")[0] for name in row} == {"op", "rate", "many"}
    assert len(row) == 1 + 2 + 7
    assert sorted(row.values()) == pytest.approx([0.0, *[1.0] * 9])


def test_joint_values_of_a_path_are_features():
    features = Features([["c0", "c2"], ["c1"], ["c0", "absent"]])
    one = features.row(SPACE.walk(lookup({f"c{i}": i % 4 for i in range(6)})))
    assert len(one) == 6 + 2


def test_features_do_not_depend_on_what_was_looked_at_before():
    """A resumed search did not look at the candidates of earlier proposals."""
    sample = {f"c{i}": i % 4 for i in range(6)}
    features = Features([["c0", "c1"]])
    for other in range(4):
        features.row(SPACE.walk(lookup({f"c{i}": other for i in range(6)})))
    walk = SPACE.walk(lookup(sample))
    assert features.row(walk) == Features([["c0", "c1"]]).row(walk)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([["x"]], r"strategy.paths contains 'x', which is a number from 0.0 to 1.0; a path must"),
        ([["op"], ["opp", "op"]], r"contains 'opp', which no choice .* Did you mean 'op'"),
    ],
)
def test_bad_paths_are_refused(paths, message):
    space = FlatSpace([Numeric("x", 0.0, 1.0), Categorical("op", (1, 2))])
    with pytest.raises(ConfigError, match=message):
        Bananas(space, 0, **(GIVEN | {"paths": paths})).check()


def test_targets_are_normal_quantiles_and_equal_scores_share_theirs():
    found = _quantiles([(0.0, 5.0), (-1.0, 9.0), (0.0, 5.0), (0.0, 7.0)])
    assert found[0] == found[2]
    assert found[1] < found[0] < found[3]
    assert found[1] == pytest.approx(-found[3])


@pytest.mark.parametrize("name", ["startup", "best", "candidates", "members", "width", "steps"])
def test_bad_counts_are_refused(name):
    with pytest.raises(ConfigError, match=rf"strategy.{name} is 0; it must be at least 1"):
        Bananas(SPACE, 0, **(GIVEN | {name: 0}))


def test_a_bad_learning_rate_is_refused():
    with pytest.raises(ConfigError, match=r"strategy.learning_rate is 0.0; it must be above 0"):
        Bananas(SPACE, 0, **(GIVEN | {"learning_rate": 0.0}))


@pytest.mark.parametrize("rounds", [0, 61])
def test_there_are_not_more_rounds_than_candidates(rounds):
    with pytest.raises(ConfigError, match=rf"rounds is {rounds}; it must be from 1 to .* 60"):
        Bananas(SPACE, 0, **(GIVEN | {"rounds": rounds}))


def test_one_round_is_enough_and_several_find_more():
    """Of 4,096 samples, each of which says how good it is, few are looked at for a proposal."""
    best = {n: sum(search(SPACE, total, 40, seed, candidates=24, rounds=n)[1] for seed in range(6))
            for n in (1, 4)}  # fmt: skip
    assert best[4] >= best[1] > 6 * 14
