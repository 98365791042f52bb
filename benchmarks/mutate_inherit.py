"""What inherited weights save: epochs until a mutant is as accurate as a cold start at its end."""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.table import Table
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

EPOCHS = 12  # of the model whose weights are inherited, and of a cold start
SEEDS = 5
MUTATORS = (
    {"class": "ReLU", "replace": ["ReLU", "SiLU"]},
    {"on": "stage[12].*.conv1", "width": [0.5, 0.75, 1.0]},
    {"on": "stage2", "depth": [1, 2]},
    {"on": "**.conv2", "kernel": [3, 5]},
    {"on": "stage[12].1", "insert": [None, {"_target_": "spaces.blocks.SqueezeExcite"}]},
)


class Block(nn.Module):
    """Two convolutions and what they are given."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.short = nn.Identity()
        if stride > 1 or inputs != width:
            conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(y)) + self.short(x))


class SmallResNet(nn.Module):
    """Two stages of two blocks for images (N, 1, 8, 8); with the weights in a file, if one is
    given."""

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.stage1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1))
        self.stage2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1))
        self.head = nn.Linear(32, 10)
        if weights is not None:
            load_model(self, weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stage2(self.stage1(self.stem(x))).mean((2, 3)))


@final
@dataclass(frozen=True)
class Row:
    """One mutant, trained twice."""

    seed: int
    epochs: int  # of the cold start
    cold: float  # the validation accuracy of the cold start in the end
    first: float  # that of the inheriting one after one epoch
    reached: int  # epochs until the inheriting one is as accurate
    share: float  # of its parameters, that are inherited

    @property
    def ratio(self) -> float:
        return self.reached / self.epochs


def inheritance(*, quick: bool) -> list[Row]:
    """Random mutants of a trained ResNet, each trained from cold and from inherited weights."""
    import torch

    torch.set_num_threads(1)
    epochs, seeds = (2, 2) if quick else (EPOCHS, SEEDS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        torch.manual_seed(100)
        trained = SmallResNet()
        _train(trained, epochs, seed=100)
        save_model(trained, str(folder / "base.safetensors"))
        return [_row(folder, seed, epochs) for seed in range(seeds)]


def _row(folder: Path, seed: int, epochs: int) -> Row:
    import torch

    from runner.config.mutator_entries import written_out
    from runner.engines.base import BaseEngine
    from runner.engines.inheritance import BaseModels
    from runner.space.sample import generator
    from runner.trial import Trial

    def engine(weights: str | None, space_weights: str | None) -> BaseEngine:
        space = {"_target_": "mutate_inherit.SmallResNet", "weights": weights}
        mutators = written_out([dict(mutator) for mutator in MUTATORS])
        return BaseEngine(
            space=space, mutators=mutators, input=[1, 8, 8], weights=space_weights,
            trust=["mutate_inherit"],
        )  # fmt: skip

    cold, warm = engine(None, None), engine(str(folder / "base.safetensors"), "inherit")
    trial = Trial(seed, cold.space.random(generator(0, "benchmark", seed)), seed)
    accuracies = []
    for made in (cold, warm):
        [job] = made.plan([trial])
        torch.manual_seed(seed)
        model = made.build(job.recipes[0])
        share = made.inherit(job.recipes[0], model, folder, BaseModels()).get("inherited", 0.0)
        accuracies.append(_train(model, epochs, seed))
    last = accuracies[0][-1]
    reached = next((i for i, a in enumerate(accuracies[1], start=1) if a >= last), epochs)
    return Row(seed, epochs, last, accuracies[1][0], reached, share)


def _train(model: nn.Module, epochs: int, seed: int) -> list[float]:
    """Train as `conf/evaluator/classification.yaml` says; the accuracy after each epoch."""
    import torch

    from runner.config.compose import compose_config
    from runner.config.instantiate import build
    from runner.config.settings import settings_from
    from runner.evaluators.evaluator import TrainingRun
    from runner.trial import Metrics

    overrides = [f"evaluator.epochs={epochs}"]
    config = settings_from(compose_config(overrides), overrides)
    heard: list[float] = []

    def report(metrics: Sequence[Metrics]) -> list[int]:
        heard.append(metrics[0]["val/accuracy"])
        return []

    data = build(config.data).search()
    build(config.evaluator).evaluate(
        [model], data, TrainingRun(torch.device("cpu"), [seed], report)
    )
    return heard


def inheritance_table(rows: Sequence[Row]) -> Table:
    """One row for each mutant, and their mean with its interval."""
    made = Table(title="Digits, mutants of a small ResNet: inherited weights against a cold start")
    made.add_column("seed", no_wrap=True)
    for name in ("inherited", "cold, in the end", "inheriting, 1 epoch", "epochs", "of", "ratio"):
        made.add_column(name, justify="right")
    for row in rows:
        figures = f"{row.share:.0%}", f"{row.cold:.4f}", f"{row.first:.4f}"
        made.add_row(str(row.seed), *figures, str(row.reached), str(row.epochs), f"{row.ratio:.2f}")
    mean, half = interval([row.ratio for row in rows])
    made.add_row("mean", "", "", "", "", "", f"{mean:.2f} ± {half:.2f}")
    return made


STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # t, two-sided 95 %, by the number of seeds


def interval(figures: Sequence[float]) -> tuple[float, float]:
    """The mean of some figures, and half of its 95 % interval (Student's t)."""
    mean, count = statistics.mean(figures), len(figures)
    return mean, STUDENT[count] * statistics.stdev(figures) / count**0.5
