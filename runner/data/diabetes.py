"""Diabetes: scikit-learn's 442 patients, 10 measurements each, one number to predict."""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from runner.data.bundled import bundled
from runner.data.data import TargetKind
from runner.data.holdout import TensorData
from runner.data.splits import holdout
from runner.errors import ConfigError

TEST = 0.2  # the fraction of the test split: 88 patients, the same ones for every seed


@final
class Diabetes(TensorData):
    """Disease progression after a year (Efron et al. 2004, https://arxiv.org/abs/math/0406456).

    Inputs (N, 10) and targets (N, 1) are standardized with the statistics of the training split,
    so that always predicting the mean has a mean squared error of about 1.
    """

    count: ClassVar[int] = 354

    def __init__(self, shape: Sequence[int], classes: int, validation: float, seed: int) -> None:
        super().__init__(shape, classes, validation, seed)
        if tuple(shape) != (10,):
            raise ConfigError(f"data.shape is {list(shape)}; diabetes has [10].")
        if classes != 1:
            raise ConfigError(f"data.classes is {classes}; diabetes has 1 output.")

    def kind(self) -> TargetKind:
        return "numbers"

    def load(self, *, train: bool) -> tuple[Tensor, Tensor]:
        inputs, targets = (torch.tensor(values, dtype=torch.float32) for values in _diabetes())
        targets = targets.view(-1, 1)
        rest, test = holdout(targets, TEST, seed=0)
        kept = rest[holdout(targets[rest], self.validation, self.seed)[0]]
        part = rest if train else test
        return _standardize(inputs, inputs[kept])[part], _standardize(targets, targets[kept])[part]


def _standardize(values: Tensor, reference: Tensor) -> Tensor:
    """Shifts and scales values (N, D) so that the reference has mean 0 and deviation 1."""
    return (values - reference.mean(0)) / reference.std(0)


def _diabetes() -> tuple[Any, Any]:
    """Returns the measurements, (N, 10), and the progression, (N,)."""
    inputs, targets = map(bundled, ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"))
    if inputs is not None and targets is not None:
        return inputs, targets
    from sklearn.datasets import load_diabetes  # here: it is slow to import

    return load_diabetes(return_X_y=True, scaled=False)  # type: ignore[no-any-return]
