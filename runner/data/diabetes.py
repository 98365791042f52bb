"""Diabetes: scikit-learn's 442 patients, 10 measurements each, one number to predict."""

from collections.abc import Sequence
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from runner.data.data import Data, SearchData, Split
from runner.data.splits import TensorSplit, check_fraction, holdout
from runner.errors import ConfigError

TEST = 0.2  # the share of the test split: 88 patients, the same ones for every seed


@final
class Diabetes(Data):
    """Disease progression after a year (Efron et al. 2004, https://arxiv.org/abs/math/0406456).

    Inputs (N, 10) and targets (N, 1) are standardized with the statistics of the training split,
    so the mean squared error of always answering the mean is about 1.
    """

    def __init__(self, shape: Sequence[int], classes: int, validation: float, seed: int) -> None:
        """`validation` is the share of the training part that is held out, picked by `seed`."""
        super().__init__(shape, classes)
        check_fraction(validation)
        if tuple(shape) != (10,):
            raise ConfigError(f"data.shape is {list(shape)}; diabetes has [10].")
        if classes != 1:
            raise ConfigError(f"data.classes is {classes}; diabetes has 1 output.")
        self._validation = validation
        self._seed = seed

    def search(self) -> SearchData:
        return self._search

    def test(self) -> Split:
        return self._test

    @cached_property
    def _search(self) -> SearchData:
        inputs, targets = _load()
        train, validation, _ = self._places(len(inputs))
        return SearchData(
            train=self._split(inputs, targets, train),
            validation=self._split(inputs, targets, validation),
        )

    @cached_property
    def _test(self) -> Split:
        inputs, targets = _load()
        *_, test = self._places(len(inputs))
        return self._split(inputs, targets, test)

    def _places(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Places of the training, the validation and the test examples."""
        rest, test = holdout(torch.zeros(count), TEST, seed=0)
        train, validation = holdout(torch.zeros(len(rest)), self._validation, self._seed)
        return rest[train], rest[validation], test

    def _split(self, inputs: Tensor, targets: Tensor, places: Tensor) -> Split:
        train, *_ = self._places(len(inputs))
        return TensorSplit(
            _standardize(inputs, inputs[train])[places],
            _standardize(targets, targets[train])[places],
        )


def _load() -> tuple[Tensor, Tensor]:
    """Raw inputs (N, 10) and targets (N, 1)."""
    from sklearn.datasets import load_diabetes

    inputs, targets = load_diabetes(return_X_y=True, scaled=False)
    return (
        torch.tensor(inputs, dtype=torch.float32),
        torch.tensor(targets, dtype=torch.float32).view(-1, 1),
    )


def _standardize(values: Tensor, reference: Tensor) -> Tensor:
    """Values (N, D) moved and scaled so that the reference has mean 0 and deviation 1."""
    return (values - reference.mean(0)) / reference.std(0)
