"""Classification: the numbers themselves, and the default on real data."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn.functional import cross_entropy

from runner.config.instantiate import build
from runner.data.data import SearchData
from runner.data.digits import Digits

CONF = Path(__file__).parents[2] / "conf"
LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0], [1.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 1, 2, 1])


def test_metrics_by_hand(classification: Any) -> None:
    evaluator = classification(label_smoothing=0.1)
    metrics = evaluator.metrics(evaluator.judge(LOGITS, LABELS))
    assert metrics["accuracy"] == 0.75
    assert metrics["loss"] == pytest.approx(cross_entropy(LOGITS, LABELS).item())


def test_training_loss_is_per_example_and_smoothed(classification: Any) -> None:
    losses = classification(label_smoothing=0.1).losses(LOGITS, LABELS)
    assert losses.shape == (4,)
    assert losses.mean() == pytest.approx(cross_entropy(LOGITS, LABELS, label_smoothing=0.1).item())


def test_model_that_gives_no_logits(classification: Any, images: SearchData, recorded: Any) -> None:
    with pytest.raises(
        ValueError, match=r"The model returned \[8, 4, 4, 4\]; classification needs"
    ):
        classification().evaluate([nn.Conv2d(2, 4, 3)], images, recorded().run(0))


def test_augmentation_changes_training_and_not_the_data_order(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    seen: list[torch.Tensor] = []

    def blank(inputs: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        seen.append(inputs)
        torch.rand(3, generator=rng)
        return torch.zeros_like(inputs)

    def keep(inputs: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        seen.append(inputs)
        return inputs

    for augment in (blank, keep):
        classification(augment=augment).evaluate([convnet(0)], images, recorded().run(0))
    half = len(seen) // 2
    assert all(torch.equal(a, b) for a, b in zip(seen[:half], seen[half:], strict=True))


def test_default_learns_digits(recorded: Any) -> None:
    node = OmegaConf.to_container(OmegaConf.load(CONF / "evaluator" / "classification.yaml"))
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    data, record = Digits([1, 8, 8], 10, 0.2, 0), recorded()
    evaluator = build(node)
    evaluator.evaluate([model], data.search(), record.run(0))
    assert len(record.reports) == 8
    assert record.reports[-1][0]["val/accuracy"] > 0.97
    (score,) = evaluator.score([model], data.test(), torch.device("cpu"))
    assert score["accuracy"] > 0.95
