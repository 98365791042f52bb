"""Data sets whose validation split is held out from the training part."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from runner.data.data import Data, SearchData, Split
from runner.data.shared_tensors import loaded_once
from runner.data.splits import TensorSplit, check_parts, holdout
from runner.errors import require


class HoldoutData(Data):
    """A data set that loads each of its splits once, on first use."""

    def __init__(self, shape: Sequence[int], classes: int, validation: float, seed: int) -> None:
        """Holds out the fraction `validation` of the training part, picked by `seed`."""
        super().__init__(shape, classes)
        require(0 < validation < 1, "data.validation", validation, "above 0 and below 1")
        self.validation = validation
        self.seed = seed

    def search(self) -> SearchData:
        return self._search

    def test(self) -> Split:
        return self._test

    @cached_property
    def _search(self) -> SearchData:
        return self.load_search()

    @cached_property
    def _test(self) -> Split:
        return self.load_test()

    @abstractmethod
    def load_search(self) -> SearchData:
        """Loads what `search` returns."""

    @abstractmethod
    def load_test(self) -> Split:
        """Loads what `test` returns."""


class TensorData(HoldoutData):
    """A data set that fits in memory, as two tensors for each part."""

    count: ClassVar[int | None] = None  # examples of the training part, with validation

    def check(self) -> None:
        if self.count is not None:
            check_parts(self.count, self.validation)

    def load_search(self) -> SearchData:
        parts = loaded_once("search", self._load_parts)
        return SearchData(self.split(*parts[:2]), self.split(*parts[2:]))

    def load_test(self) -> Split:
        return self.split(*loaded_once("test", lambda: self.load(train=False)))

    def _load_parts(self) -> tuple[Tensor, ...]:
        """Returns inputs and targets for training, and those for validation."""
        inputs, targets = self.load(train=True)
        kept, held = holdout(targets, self.validation, self.seed)
        return inputs[kept], targets[kept], inputs[held], targets[held]

    @abstractmethod
    def load(self, *, train: bool) -> tuple[Tensor, Tensor]:
        """Loads inputs (N, ...) and targets (N,) or (N, outputs) of the training or test part."""

    def split(self, inputs: Tensor, targets: Tensor) -> Split:
        """Returns a split of these examples."""
        return TensorSplit(inputs, targets)
