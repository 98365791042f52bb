"""Digits: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels. No download."""

from collections.abc import Sequence
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from runner.data.data import Data, SearchData, Split
from runner.data.images import check_image_shape, fit
from runner.data.splits import TensorSplit, check_fraction, holdout
from runner.errors import ConfigError

TEST = 0.2  # the share of the test split: 359 images, the same ones for every seed


@final
class Digits(Data):
    """The UCI optical digits (https://doi.org/10.24432/C50P49), 10 classes, 1 channel."""

    def __init__(self, shape: Sequence[int], classes: int, validation: float, seed: int) -> None:
        """`validation` is the share of the training part that is held out, picked by `seed`."""
        super().__init__(shape, classes)
        check_image_shape(shape, channels=1)
        check_fraction(validation)
        if classes != 10:
            raise ConfigError(f"data.classes is {classes}; digits has 10.")
        self._validation = validation
        self._seed = seed

    def search(self) -> SearchData:
        return self._search

    def test(self) -> Split:
        return self._test

    @cached_property
    def _search(self) -> SearchData:
        (images, labels), _ = _load()
        train, validation = holdout(labels, self._validation, self._seed)
        return SearchData(
            train=self._split(images[train], labels[train]),
            validation=self._split(images[validation], labels[validation]),
        )

    @cached_property
    def _test(self) -> Split:
        _, (images, labels) = _load()
        return self._split(images, labels)

    def _split(self, images: Tensor, labels: Tensor) -> Split:
        return TensorSplit(fit(images, self.shape), labels)


def _load() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images (N, 1, 8, 8) and labels (N,) of the training part, and of the test part."""
    from sklearn.datasets import load_digits

    pixels, numbers = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8)
    labels = torch.tensor(numbers, dtype=torch.int64)
    rest, test = holdout(labels, TEST, seed=0)
    images = (images - images[rest].mean()) / images[rest].std()
    return (images[rest], labels[rest]), (images[test], labels[test])
