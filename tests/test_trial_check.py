"""What a trial would cost is told by a few steps on its real data."""

import pytest
import torch
from torch import nn

from runner.config.instantiate import build
from runner.data.data import SearchData
from runner.data.splits import TensorSplit
from runner.evaluators.classification import Classification
from runner.evaluators.evaluator import Evaluator, NotFinite, TrainingRun
from runner.evaluators.schedule import Cosine
from runner.trial_check import EPOCH, MEMORY, SCORING, STEP, FirstExamples, check_training

CPU = torch.device("cpu")
RUN = TrainingRun(CPU, [0], lambda metrics: ())


def split(count: int) -> TensorSplit:
    rng = torch.Generator().manual_seed(0)
    return TensorSplit(torch.randn(count, 4, generator=rng), torch.arange(count) % 3)


@pytest.mark.parametrize(
    "count, batches", [(1, [1]), (3, [3]), (4, [4]), (5, [4, 1]), (99, [4, 4, 2])]
)
def test_the_first_examples_come_in_batches_as_all_do(count, batches):
    whole = split(10)
    part = FirstExamples(whole, count)
    found = [*part.batches(4, CPU)]
    assert [len(targets) for _, targets in found] == batches and len(part) == sum(batches)
    assert torch.equal(torch.cat([x for x, _ in found]), whole._inputs[: len(part)])


class Slow(nn.Module):
    """Counts how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.trained = self.scored = 0

    def forward(self, x):
        if self.training:
            self.trained += len(x)
        else:
            self.scored += len(x)
        return self.head(x)


def evaluator(**changes) -> Classification:
    optimizer = build({"_target_": "torch.optim.SGD", "_partial_": True})
    return Classification(
        epochs=30, batch_size=8, lr=0.1, optimizer=optimizer, schedule=Cosine(0.0, 0.0),
        clip_norm=None, precision="fp32", compile=False, channels_last="auto", seed=0,
        checkpoint=None, label_smoothing=0.0, augment=None, **changes,
    )  # fmt: skip


def test_an_epoch_is_estimated_from_few_steps(monkeypatch):
    model, data = Slow(), SearchData(split(80), split(40))
    found = check_training(evaluator(), model, data, RUN)
    assert model.trained == 8 * (1 + 1 + 3 + 1) and model.scored == 8 * (1 + 1 + 1 + 3)
    assert found[EPOCH] == pytest.approx(10 * found[STEP] + found[SCORING])
    assert found[MEMORY] > 1e6


def test_data_of_less_than_a_batch_is_timed_as_a_whole():
    found = check_training(evaluator(), Slow(), SearchData(split(5), split(3)), RUN)
    assert 0 < found[STEP] < 60 and found[EPOCH] >= found[STEP]


def test_what_a_training_raises_is_raised():
    model = Slow()
    nn.init.constant_(model.head.weight, float("nan"))
    with pytest.raises(NotFinite):
        check_training(evaluator(), model, SearchData(split(80), split(40)), RUN)


class Once(Evaluator):
    """Trains as it likes; nothing is known of its epochs."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def evaluate(self, models, data, run):
        assert run.span is None
        self.seen.append(len(data.train))
        run.report([{"val/accuracy": 1.0}])

    def score(self, models, split, device):
        return [{}]


def test_training_code_of_a_user_is_called_once_with_one_batch():
    once = Once()
    found = check_training(once, Slow(), SearchData(split(800), split(40)), RUN)
    assert once.seen == [64] and [*found] == [MEMORY]
