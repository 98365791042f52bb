"""The strategy `given` tries the samples of `strategy.first`, and nothing else."""

import pytest
from searches import MLP

import runner
from runner.errors import ConfigError

GIVEN = [*MLP, "strategy=given", "budget.trials=9", "export.top=0", "evaluator.epochs=1"]


def test_the_given_samples_are_tried_in_order_and_then_the_search_ends(tmp_path):
    first = "strategy.first=[{depth: '2', activation: tanh}, {depth: '1'}]"
    run = runner.run([*GIVEN, first], tmp_path / "run")
    assert [trial.sample["depth"] for trial in run.trials] == ["2", "1"]
    assert run.trials[0].sample["activation"] == "tanh"


def test_without_samples_there_is_nothing_to_try(tmp_path):
    with pytest.raises(ConfigError, match=r"strategy\.first, which lists none"):
        runner.run(GIVEN, tmp_path / "run")
