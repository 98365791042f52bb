"""Evaluators that take no time, and what they are run on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from runner.data.data import SearchData
from runner.data.splits import TensorSplit
from runner.evaluators.classification import Classification
from runner.evaluators.evaluator import TrainingRun
from runner.evaluators.regression import Regression
from runner.evaluators.schedule import Cosine

CPU = torch.device("cpu")


@dataclass
class Recorded:
    """What one call of `evaluate` reported."""

    reports: list[Sequence[Mapping[str, float]]] = field(default_factory=list)

    def run(self, *seeds: int) -> TrainingRun:
        return TrainingRun(CPU, seeds, self.report)

    def report(self, metrics: Sequence[Mapping[str, float]]) -> tuple[int, ...]:
        self.reports.append(metrics)
        return ()


@pytest.fixture
def recorded() -> Callable[[], Recorded]:
    return Recorded


@pytest.fixture
def settings() -> dict[str, Any]:
    """The arguments that all supervised evaluators have."""
    return {
        "epochs": 2,
        "batch_size": 8,
        "lr": 0.01,
        "optimizer": partial(torch.optim.AdamW, weight_decay=0.01),
        "schedule": Cosine(warmup=0.1, end=0.0),
        "clip_norm": None,
        "precision": "fp32",
        "compile": False,
        "channels_last": "auto",
        "seed": 0,
        "checkpoint": None,
    }


@pytest.fixture
def classification(settings: dict[str, Any]) -> Callable[..., Classification]:
    rest = {"label_smoothing": 0.0, "augment": None}
    return lambda **changed: Classification(**settings | rest | changed)


@pytest.fixture
def regression(settings: dict[str, Any]) -> Callable[..., Regression]:
    return lambda **changed: Regression(**settings | {"loss": "mse"} | changed)


@pytest.fixture
def images() -> SearchData:
    """25 + 12 images (2, 6, 6) of three classes; the last training batch of 8 has one image."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(37) % 3
    inputs = torch.randn(37, 2, 6, 6, generator=rng) + labels.view(-1, 1, 1, 1)
    return SearchData(TensorSplit(inputs[:25], labels[:25]), TensorSplit(inputs[25:], labels[25:]))


@pytest.fixture
def numbers() -> SearchData:
    """A line: 25 + 12 pairs of 4 inputs and 1 output."""
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(37, 4, generator=rng)
    targets = inputs.sum(1, keepdim=True)
    return SearchData(
        TensorSplit(inputs[:25], targets[:25]), TensorSplit(inputs[25:], targets[25:])
    )


@pytest.fixture
def convnet() -> Callable[[int], nn.Module]:
    """convnet(seed): with batch normalization and dropout."""

    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.BatchNorm1d(4),
            nn.Dropout(0.2),
            nn.Linear(4, 3),
        )

    return make


@pytest.fixture
def perceptron() -> Callable[[int], nn.Module]:
    """perceptron(seed): from 4 numbers to 1."""

    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))

    return make
