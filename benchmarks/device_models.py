"""Models and data that the parts of `device.py` give to real workers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from runner.data.data import Data, SearchData, Split
from runner.data.splits import TensorSplit
from runner.nn import ValueChoice, model_wrapper

BREAKS = 2  # the candidate of Breaking that does
BLOCK = 2**28  # floats, 1 GiB, that Hungry takes at a time


def examples(count: int, shape: Sequence[int], seed: int = 0, dtype: Any = torch.float32) -> Split:
    """Random images in memory. Their ten classes can be learned: by their brightness."""
    rng = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 10
    inputs = torch.randn((count, *shape), generator=rng, dtype=torch.float64)
    return TensorSplit((inputs + targets.view(-1, *[1] * len(shape)) / 5).to(dtype), targets)


class Cloud(Data):
    """Random images."""

    def __init__(self, shape: Sequence[int], classes: int, count: int) -> None:
        super().__init__(shape, classes)
        self._count = count

    def search(self) -> SearchData:
        parts = (examples(self._count, self.shape, seed) for seed in (0, 1))
        return SearchData(*parts)

    def test(self) -> Split:
        raise NotImplementedError("These images are for searches only.")


class Calm(nn.Module):
    """A model that any device has room for."""

    def __init__(self, shape: Sequence[int] = (1, 8, 8)) -> None:
        super().__init__()
        self.body = nn.Linear(torch.Size(shape).numel(), 64)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(x.flatten(1)).relu())
        return y


@model_wrapper
class Breaking(Calm):
    """One candidate of eight makes a kernel fail, after which CUDA does nothing more for its
    process. On a CPU, that is an ordinary error."""

    def __init__(self, shape: Sequence[int] = (1, 8, 8)) -> None:
        super().__init__(shape)
        self.number = ValueChoice([*range(8)], label="number")

    def forward(self, x: Tensor) -> Tensor:
        place = torch.full((1,), 99 if int(self.number) == BREAKS else 0, device=x.device)
        return super().forward(x) + x.new_zeros(2)[place]


class Hungry(Calm):
    """A model that takes memory until there is none, and holds it meanwhile. Of a CPU, whose memory
    others need, it asks at once for more than any machine has."""

    def forward(self, x: Tensor) -> Tensor:
        size = BLOCK if x.is_cuda else 2**55
        held: list[Tensor] = []
        while len(held) < 1024:
            held.append(x.new_empty(size))
        return super().forward(x) + held[0][0]
