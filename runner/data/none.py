"""No data, for evaluators that train nothing: one example of a single zero in each split."""

from typing import final

import torch

from runner.data.data import Data, SearchData
from runner.data.splits import TensorSplit


@final
class NoData(Data):
    """Data for evaluators that look results up. Each split holds one example, a zero of class 0."""

    has_test = False

    def __init__(self) -> None:
        super().__init__(shape=[1], classes=1)

    def search(self) -> SearchData:
        return SearchData(self.test(), self.test())

    def test(self) -> TensorSplit:
        return TensorSplit(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64))
