"""Digits: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels. No download."""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from runner.data.bundled import bundled
from runner.data.data import Split, TargetKind
from runner.data.holdout import TensorData
from runner.data.images import check_image_shape, fit
from runner.data.splits import TensorSplit, holdout
from runner.errors import ConfigError

TEST = 0.2  # the fraction of the test split: 359 images, the same ones for every seed


@final
class Digits(TensorData):
    """The UCI optical digits (https://doi.org/10.24432/C50P49), 10 classes, 1 channel."""

    count: ClassVar[int] = 1438

    def __init__(self, shape: Sequence[int], classes: int, validation: float, seed: int) -> None:
        super().__init__(shape, classes, validation, seed)
        check_image_shape(shape, channels=1)
        if classes != 10:
            raise ConfigError(f"data.classes is {classes}; digits has 10.")

    def kind(self) -> TargetKind:
        return "classes"

    def load(self, *, train: bool) -> tuple[Tensor, Tensor]:
        pixels, numbers = _digits()
        images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8)
        labels = torch.tensor(numbers, dtype=torch.int64)
        rest, test = holdout(labels, TEST, seed=0)
        images = (images - images[rest].mean()) / images[rest].std()
        part = rest if train else test
        return images[part], labels[part]

    def split(self, inputs: Tensor, targets: Tensor) -> Split:
        return TensorSplit(fit(inputs, self.shape), targets)


def _digits() -> tuple[Any, Any]:
    """Returns the pixels, (N, 64), and the digits, (N,)."""
    table = bundled("digits.csv.gz", delimiter=",")
    if table is not None:
        return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits  # here: it is slow to import

    return load_digits(return_X_y=True)  # type: ignore[no-any-return]
