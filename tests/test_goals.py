"""Goals: scores, violations, and configs that name none."""

import pytest

from runner.errors import ConfigError
from runner.goals import Goals, Objective

TWO = [{"metric": "val/accuracy", "mode": "max"}, {"metric": "latency", "mode": "min"}]


def test_scores_are_turned_so_that_more_is_better():
    goals = Goals.of(TWO)
    assert goals.several and goals.scores({"val/accuracy": 0.9, "latency": 0.002}) == (0.9, -0.002)
    assert goals.scores({"val/accuracy": 0.9}) == ()
    assert goals.scores({"val/accuracy": float("nan"), "latency": 1.0}) == ()
    assert Goals.of(TWO[0]) == Goals((Objective("val/accuracy", "max"),))


def test_violations_are_those_of_known_metrics():
    goals = Goals.of(TWO, ["params <= 100", "val/accuracy >= 0.8"])
    assert goals.metrics == ["val/accuracy", "latency", "params"]
    assert goals.violations({"params": 150.0}) == (0.5, 0.0)
    assert goals.violations({"params": 50.0, "val/accuracy": 0.9}) == (0.0, 0.0)
    assert goals.broken({"params": 50.0, "val/accuracy": 0.9}) is None
    broken = goals.broken({"params": 110.0, "val/accuracy": 0.4})
    assert broken is not None and broken.text == "val/accuracy >= 0.8"


@pytest.mark.parametrize(
    ("objective", "constraints", "words"),
    [
        ([], [], r"objective is \[\]"),
        ([TWO[0], TWO[0]], [], "objective names 'val/accuracy' twice"),
        (TWO, ["params <= 1", "params <"], r"constraints\[1\] is 'params <'"),
    ],
)
def test_goals_that_are_none(objective, constraints, words):
    with pytest.raises(ConfigError, match=words):
        Goals.of(objective, constraints)
