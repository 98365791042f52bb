"""What the overhead is measured with: a space of 20 choices, no data, and no training."""

from collections.abc import Sequence

import torch

from runner import nn
from runner.data.data import Data, SearchData, Split
from runner.evaluators.evaluator import Evaluator, TrainingRun
from runner.trial import Metrics

CHOICES = 20
CANDIDATES = (16, 32, 64, 128)


class Twenty(nn.Module):
    """A small module that leaves twenty independent choices open."""

    def __init__(self) -> None:
        super().__init__()
        self.picks = [nn.ValueChoice(CANDIDATES, label=f"c{i}") for i in range(CHOICES)]
        self.layer = nn.Linear(self.picks[0], 2)


class NoData(Data):
    """Nothing to train on."""

    def search(self) -> SearchData:
        return SearchData(None, None)

    def test(self) -> Split | None:
        return None


class NoTraining(Evaluator):
    """Reports the first choice as the result, once."""

    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: TrainingRun) -> None:
        run.report([{"val/accuracy": float(model.picks[0])} for model in models])

    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        return [{} for _ in models]
