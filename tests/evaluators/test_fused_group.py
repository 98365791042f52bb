"""What once gave wrong numbers: each model of a group gets what it would get alone."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from runner.data.data import SearchData
from runner.data.splits import TensorSplit
from runner.evaluators.classification import Classification
from runner.evaluators.evaluator import TrainingRun
from runner.evaluators.race import Prospects, Race
from runner.evaluators.schedule import Constant
from runner.fusion.tracing.trace import programs_of
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


class Headed(nn.Module):
    """A part that no program can follow, and a head."""

    def __init__(self, part: type[nn.Module]) -> None:
        super().__init__()
        self.body, self.part, self.head = nn.Linear(16, 8), part(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.part(self.body(x)))


class Counting(nn.Module):
    """Counts its steps in training; what it gives in eval mode follows from that."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
        return x * 2 if self.seen > 8 else x


class Averaging(nn.Module):
    """Puts another tensor in the place of a buffer, from its fourth step on."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
            if int(self.seen) > 3:
                self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean


class Overwriting(nn.Module):
    """Changes what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > -1e9):
            x[:, 0] = 0
        return x.relu()


class AlwaysDropping(nn.Module):
    """Draws in eval mode, too."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.3)


class Elsewhere(nn.Module):
    """Draws numbers of Python and numpy."""

    @torch.jit.ignore
    def factor(self) -> float:
        return random.random() + float(np.random.rand())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor()


PARTS = {part.__name__: partial(Headed, part)
         for part in (Counting, Averaging, Overwriting, AlwaysDropping, Elsewhere)}  # fmt: skip
KINDS = {"Still": Still, "Drawing": Drawing, "Slim": Slim, **PARTS}


def evaluator() -> Classification:
    return Classification(
        epochs=4, batch_size=64, lr=0.01, optimizer=partial(torch.optim.AdamW, weight_decay=0.01),
        schedule=Constant(0.0), clip_norm=None, precision="fp32", compile=False,
        channels_last="auto", seed=0, checkpoint=None, label_smoothing=0.0, augment=None,
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
        models,
        SearchData(split, split),
        TrainingRun(CPU, seeds, report, pieces, programs, gains.append),
    )
    return found, gains[0]


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_a_group_reports_what_each_alone_does(name, planned, monkeypatch):
    kind = KINDS[name]
    monkeypatch.setattr(Race, "speedup", 2.0)  # fused steps are kept
    monkeypatch.setattr(Prospects, "refusal", lambda *_: "" if planned else "not wanted")
    models, programs = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        with recording():
            models.append(kind())
        graph = convert(models[-1])
        programs.append(programs_of(graph, (16,)))
    twins = []
    for seed in range(3):
        torch.manual_seed(seed)
        twins.append(kind())
    together, gain = reports(models, programs, [5, 6, 7])
    expected = "" if planned else "not wanted"
    if name == "Elsewhere":
        expected = "a model draws random numbers of Python or numpy"
    assert gain.why == expected
    for i, twin in enumerate(twins):
        alone, _ = reports([twin], (), [5 + i])
        for ours, theirs in zip(together, alone, strict=True):
            assert ours[i] == pytest.approx(theirs[0], rel=1e-3)
