"""The importance of choices, for records that have enough results."""

import random

import pytest
from reported import HOSTILE

from runner.report.importance import FEWEST, importance_of
from runner.space.choice import Numeric
from runner.space.structure import Part
from runner.trial import State, Trial


def trial(number, sample, *scores, **more):
    state = State.FINISHED
    return Trial(number=number, sample=sample, seed=0, state=state, scores=scores, **more)


def results(count, score, seed=0):
    rng, found = random.Random(seed), []
    for i in range(count):
        sample = {"matters": rng.randrange(10), "noise": rng.choice(["a", "b"]),
                  "lr": 10 ** rng.uniform(-4, -1), "constant": 1}  # fmt: skip
        found.append(trial(i, sample, *score(sample)))
    return found


def test_what_decides_the_results_is_the_most_important():
    found = importance_of(results(100, lambda s: (1.0 * s["matters"],)))
    shares = dict(found.shares)
    assert found.shares[0][0] == "matters"
    assert shares["matters"] > 0.5
    assert sum(shares.values()) == pytest.approx(1)
    assert shares.keys() == {"matters", "noise", "lr"}, "a choice with one value cannot matter"
    assert (found.results, found.good) == (100, 10)


def test_a_choice_that_is_asked_under_a_condition_has_its_share():
    def sample(i):
        return {"depth": 1, "a": "x"} if i % 3 else {"depth": 2, "a": "x", "act": "rg"[i // 3 % 2]}

    def score(s):
        return float(s["depth"] == 2 and s["act"] == "g")

    trials = [trial(i, sample(i), score(sample(i)) + i * 1e-6) for i in range(60)]
    shares = dict(importance_of(trials).shares)
    assert shares["act"] > 0
    assert shares["depth"] > 0


def test_several_objectives_are_those_of_the_front():
    found = importance_of(results(60, lambda s: (s["matters"], -s["lr"])))
    assert {label for label, _ in found.shares} == {"matters", "noise", "lr"}


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_few_results_say_nothing(count):
    assert importance_of(results(count, lambda s: (1.0 * s["matters"],))) is None


def test_only_results_that_are_compared_count():
    trials = results(FEWEST, lambda s: (1.0 * s["matters"],))
    shared = trial(50, trials[0].sample, 1.0, duplicate_of=0)
    lower = trial(51, trials[0].sample, 1.0, partial=True)
    assert importance_of([*trials[1:], shared, lower]) is None
    assert importance_of([*trials, shared, lower]).results == FEWEST


def test_the_trainings_of_a_sample_count_once():
    trials = results(FEWEST, lambda s: (1.0 * s["matters"],))
    again = [trial(100 + t.number, t.sample, *t.scores, repeat_of=t.number) for t in trials]
    assert importance_of([*trials, *again]).results == FEWEST
    assert importance_of([*trials[1:], *again[1:]]) is None


def test_equal_results_have_no_shares():
    found = importance_of(results(30, lambda s: (0.5,)))
    assert (found.shares, found.results) == ((), 30)
    found = importance_of(results(30, lambda s: (0.5, -s["lr"])))
    assert found.shares


def test_equal_samples_say_nothing():
    assert importance_of([trial(i, {"a": 1}, float(i)) for i in range(20)]) is None


def test_a_range_of_the_space_may_be_logarithmic_and_values_anything():
    trials = [
        trial(i, {"lr": 10 ** -(1 + i / 8), HOSTILE: [HOSTILE, None][i % 2], "b": i % 2 == 0,
                  "list": [i % 3], "whole": i}, float(i))
        for i in range(24)
    ]  # fmt: skip
    found = importance_of(trials, [Part(Numeric("lr", 1e-5, 1.0, log=True), {})])
    assert {label for label, _ in found.shares} == {"lr", HOSTILE, "b", "list", "whole"}
