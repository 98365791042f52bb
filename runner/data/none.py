"""No data, for evaluators that train nothing: one example of zeros in each split."""

from collections.abc import Sequence
from typing import final

import torch

from runner.data.data import Data, SearchData
from runner.data.splits import TensorSplit


@final
class NoData(Data):
    """Data for evaluators that look results up. Each split holds one example, zeros of class 0."""

    has_test = False

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        """Takes the shape of the example, and a number of classes."""
        super().__init__(shape, classes)

    def search(self) -> SearchData:
        return SearchData(self.test(), self.test())

    def test(self) -> TensorSplit:
        return TensorSplit(torch.zeros(1, *self.shape), torch.zeros(1, dtype=torch.int64))
