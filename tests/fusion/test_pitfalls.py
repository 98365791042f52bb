"""What once gave wrong numbers: each model of a group gets what it would get alone."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from runner.data.data import SearchData
from runner.data.splits import TensorSplit
from runner.evaluators.classification import Classification
from runner.evaluators.evaluator import Run
from runner.evaluators.race import Prospects, Race
from runner.evaluators.schedule import Constant
from runner.fusion.flattening.flatten import flatten
from runner.fusion.program import Programs
from runner.graph import convert, recording

CPU = torch.device("cpu")


class Still(nn.Module):
    """The statistics of its first layer change, though nothing of it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(16, affine=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x))


class Drawing(nn.Module):
    """Draws numbers that no tensor goes into."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.training:
            y = y * torch.rand(y.size(0), 1)
        return self.head(y)


class Slim(nn.Module):
    """Takes as many channels as there are."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(16, 32)
        self.head = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[:, :32])


def evaluator() -> Classification:
    return Classification(
        epochs=4, batch_size=64, lr=0.01, optimizer=partial(torch.optim.AdamW, weight_decay=0.01),
        schedule=Constant(0.0), clip_norm=None, precision="fp32", compile=False,
        channels_last="auto", seed=0, label_smoothing=0.0, augment=None,
    )  # fmt: skip


def reports(models, programs, seeds):
    found = []
    images = torch.randn(384, 16, generator=torch.Generator().manual_seed(0)) * 3 + 1
    split = TensorSplit(images, torch.arange(384) % 3)
    gains = []

    def report(metrics):
        found.append(metrics)
        return ()

    pieces = [evaluator() for _ in models]
    pieces[0].evaluate(
        models, SearchData(split, split), Run(CPU, seeds, report, pieces, programs, gains.append)
    )
    return found, gains[0]


@pytest.mark.parametrize("kind", [Still, Drawing, Slim])
def test_a_group_reports_what_each_alone_does(kind, monkeypatch):
    monkeypatch.setattr(Race, "speedup", 2.0)  # fused steps are kept
    monkeypatch.setattr(Prospects, "refusal", lambda *_: "")
    models, programs = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        with recording():
            models.append(kind())
        graph = convert(models[-1])
        programs.append(Programs(*(flatten(graph, (16,), training=t) for t in (True, False))))
    twins = []
    for seed in range(3):
        torch.manual_seed(seed)
        twins.append(kind())
    together, gain = reports(models, programs, [5, 6, 7])
    assert not gain.why
    for i, twin in enumerate(twins):
        alone, _ = reports([twin], (), [5 + i])
        for ours, theirs in zip(together, alone, strict=True):
            assert ours[i] == pytest.approx(theirs[0], rel=1e-3)
