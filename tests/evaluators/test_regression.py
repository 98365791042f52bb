"""Regression: the numbers themselves, and the default on real data."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from torch import nn

from runner.config.instantiate import build
from runner.data.data import SearchData
from runner.data.diabetes import Diabetes

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("outputs", [1, 3])
def test_metrics_are_those_of_scikit_learn(regression: Any, outputs: int) -> None:
    torch.manual_seed(0)
    targets = torch.randn(50, outputs) * 3 + 100
    answers = targets + torch.randn(50, outputs)
    evaluator = regression()
    metrics = evaluator.metrics(evaluator.judge(answers, targets).double())
    assert metrics["mse"] == pytest.approx(mean_squared_error(targets, answers), rel=1e-4)
    assert metrics["loss"] == pytest.approx(metrics["mse"])
    assert metrics["mae"] == pytest.approx(mean_absolute_error(targets, answers), rel=1e-4)
    assert metrics["r2"] == pytest.approx(r2_score(targets, answers), rel=1e-4)


def test_one_output_may_come_without_its_dimension(regression: Any) -> None:
    targets = torch.randn(6, 1)
    assert torch.equal(
        regression().losses(torch.zeros(6), targets),
        regression().losses(torch.zeros(6, 1), targets),
    )


def test_huber_is_linear_far_away(regression: Any) -> None:
    losses = regression(loss="huber").losses(torch.tensor([0.5, 11.0]), torch.zeros(2))
    assert losses.tolist() == [0.125, 10.5]


def test_constant_targets_have_r2_of_0(regression: Any) -> None:
    evaluator = regression()
    metrics = evaluator.metrics(evaluator.judge(torch.randn(4), torch.ones(4)))
    assert metrics["r2"] == 0


def test_wrong_number_of_outputs(regression: Any, numbers: SearchData, recorded: Any) -> None:
    with pytest.raises(ValueError, match=r"The model returned \[8, 2\]; the targets are \[8, 1\]"):
        regression().evaluate([nn.Linear(4, 2)], numbers, recorded().run(0))


def test_default_learns_diabetes(recorded: Any) -> None:
    node = OmegaConf.to_container(OmegaConf.load(CONF / "evaluator" / "regression.yaml"))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
    data, record = Diabetes([10], 1, 0.2, 0), recorded()
    build(node).evaluate([model], data.search(), record.run(0))
    assert record.reports[-1][0]["val/r2"] > 0.3
