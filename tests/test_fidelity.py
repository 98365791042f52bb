"""Fidelity: the rungs, and values that make none."""

import pytest

from runner.errors import ConfigError
from runner.fidelity import Fidelity


@pytest.mark.parametrize(
    ("low", "high", "eta", "rungs"),
    [
        (1, 27, 3, (1, 3, 9, 27)),
        (1, 81, 3, (1, 3, 9, 27, 81)),
        (2, 27, 3, (3, 9, 27)),
        (1, 100, 4, (1, 6, 25, 100)),
        (5, 10, 2, (5, 10)),
    ],
)
def test_rungs_end_at_the_maximum(low, high, eta, rungs):
    assert Fidelity("evaluator.epochs", low, high, eta).rungs == rungs


def test_a_promoted_trial_begins_where_its_parent_ended():
    fidelity = Fidelity("evaluator.epochs", 1, 9, 3)
    begins = [fidelity.begin({"evaluator.epochs": n}, 1) for n in (1, 3, 9)]
    assert begins == [0, 1, 3]
    assert fidelity.begin({"evaluator.epochs": 9}, 6) == 3
    assert fidelity.begin({"evaluator.epochs": 9}, 7) == 0, "it began anew"
    assert Fidelity("data.size", 1, 9, 3).begin({"data.size": 9}, 1) == 0


def test_a_sample_has_the_rung_that_it_says():
    fidelity = Fidelity("evaluator.epochs", 1, 9, 3)
    assert [fidelity.rung({"evaluator.epochs": n}) for n in (1, 3, 9)] == [0, 1, 2]
    assert [fidelity.is_partial({"evaluator.epochs": n}) for n in (1, 3, 9)] == [True, True, False]
    assert fidelity.rung({}) == 0 and not fidelity.is_partial({}), "drawing it broke off"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"min": 0}, "fidelity.min is 0; it must be at least 1."),
        ({"eta": 1}, "fidelity.eta is 1; it must be at least 2."),
        ({"max": 1}, r"fidelity.max is 1; it must be at least eta \* min, which is 3, for two"),
        ({"max": 2}, "fidelity.max is 2"),
        ({"min": 27}, "fidelity.max is 27"),
        ({"max": 2.5}, "fidelity is .*; it must be like {key: evaluator.epochs, min: 1, max: 27"),
        ({"key": 3}, "it must be like"),
        ({"more": 3}, "it must be like"),
    ],
)
def test_what_is_no_fidelity(changed, text):
    with pytest.raises(ConfigError, match=text):
        Fidelity.of({"key": "evaluator.epochs", "min": 1, "max": 27, "eta": 3} | changed)
