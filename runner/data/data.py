"""Data: examples for training and scoring. The test split is not accessible during a search."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from runner.errors import ConfigError, require

Batch = tuple[Tensor, Tensor]  # inputs (N, ...), targets (N,) or (N, outputs)
MOST = 2**28  # numbers of one example: 1 GiB of floats
TargetKind = Literal["classes", "numbers"]  # indices of classes, or floats


@final
class Examples(Sequence[Any]):
    """Pairs of inputs and targets that are there as one batch, so that a loader need not stack
    them."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.batch = [inputs, targets]

    def __len__(self) -> int:
        return len(self.batch[1])

    def __getitem__(self, place: Any) -> Any:
        return tuple(part[place] for part in self.batch)


def collated(examples: Sequence[Any]) -> Any:
    """Returns examples as a batch, as a DataLoader does."""
    return examples.batch if isinstance(examples, Examples) else default_collate([*examples])


class Split(ABC):
    """A set of examples, iterated in batches.

    `fixed` is True if examples never change, and if the order drawn from a generator depends only
    on their number.
    """

    fixed = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(
        self, size: int, device: torch.device, shuffle: torch.Generator | None = None
    ) -> Iterator[Batch]:
        """Yields all examples once, in batches of `size` on `device`; the last one may be smaller.

        With a CPU generator, the order is a random permutation from it, otherwise the stored order.
        Images are float32 (N, C, H, W), normalized. Batches may share memory with the split and
        must not be modified.
        """

    def examples(self) -> Dataset[Any]:
        """Returns the examples as a data set of pairs, as `batches` yields them, on the CPU."""
        raise NotImplementedError(f"{type(self).__name__} has no examples(); use batches().")

    @final
    def loader(
        self, batch_size: int = 64, shuffle: bool = False, *, seed: int = 0, **others: Any
    ) -> DataLoader[Any]:
        """Returns a DataLoader of all examples: pairs of inputs and targets, on the CPU.

        With `shuffle`, each pass has another order, and all of them depend on `seed` alone. Further
        arguments are those of DataLoader, such as `num_workers` or `drop_last`. Unlike those of
        `batches`, its batches may be modified.
        """
        others = {
            "generator": torch.Generator().manual_seed(seed), "collate_fn": collated, **others
        }  # fmt: skip
        return DataLoader(self.examples(), batch_size, shuffle, **others)


@final
@dataclass(frozen=True)
class SearchData:
    """The splits that an evaluator may use during a search."""

    train: Split
    validation: Split


class Data(ABC):
    """A data set. The constructor checks its arguments and that its files exist, but loads nothing.

    `shape` is that of one input, without the batch dimension; images of other sizes are resized.
    `classes` is the number of classes, or of outputs in a regression. `has_test` is False if there
    is no test split.
    """

    has_test: bool = True

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        if not shape or min(shape) < 1:
            raise ConfigError(f"data.shape is {list(shape)}; its numbers must be at least 1.")
        numbers = math.prod(shape)
        if numbers > MOST:
            raise ConfigError(
                f"data.shape is {list(shape)}, which is {numbers:,} numbers for each example; at "
                f"most {MOST:,} are possible."
            )
        require(classes >= 1, "data.classes", classes, "at least 1")
        self.shape = tuple(shape)
        self.classes = classes

    def check(self) -> None:  # noqa: B027
        """Raises ConfigError for what is wrong with the examples and can be known without loading
        them, such as a part without examples. Called before a search."""

    def kind(self) -> TargetKind | None:
        """Returns the kind of the targets; None if it is unknown before the data is loaded."""
        return None

    def first(self, count: int) -> Batch | None:
        """Returns the first `count` examples, or fewer if there are fewer; None if they cannot be
        had without loading all."""
        return None

    @abstractmethod
    def search(self) -> SearchData:
        """Returns the training split and a validation split from it. Loads on the first call."""

    @abstractmethod
    def test(self) -> Split:
        """Returns the test split, for exported models only. Raises ConfigError if there is none."""
