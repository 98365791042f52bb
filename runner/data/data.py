"""Data: what models are trained and scored on. The test split is out of reach while searching."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from runner.errors import ConfigError, require

Batch = tuple[Tensor, Tensor]  # inputs (N, ...), targets (N,) or (N, outputs)


class Split(ABC):
    """A set of examples that can be gone through in batches.

    `fixed`: an example is the same each time, and a generator orders as many examples alike,
    whatever they are.
    """

    fixed = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(
        self, size: int, device: torch.device, shuffle: torch.Generator | None = None
    ) -> Iterator[Batch]:
        """All examples once, in batches of `size` on `device`; the last one may be smaller.

        With a CPU generator the order is a random permutation from it, else the stored order.
        Image inputs are float32 (N, C, H, W), normalized. Batches may share memory with the split:
        they are not to be written to.
        """


@final
@dataclass(frozen=True)
class SearchData:
    """What an evaluator may see during a search."""

    train: Split
    validation: Split


class Data(ABC):
    """A data set. Making one checks its arguments and that its files are there, and loads nothing.

    `shape` is that of one input, without the batch; images that differ are resized to it.
    `classes` is the number of classes, or of outputs in a regression.
    """

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        if not shape or min(shape) < 1:
            raise ConfigError(f"data.shape is {list(shape)}; its numbers must be at least 1.")
        require(classes >= 1, "data.classes", classes, "at least 1")
        self.shape = tuple(shape)
        self.classes = classes

    @abstractmethod
    def search(self) -> SearchData:
        """The training split and a validation split cut from it. Loads on the first call."""

    @abstractmethod
    def test(self) -> Split:
        """The test split, for the exported winners only. Raises ConfigError when there is none."""
