"""Any PyTorch data set of (input, target) pairs, built by `_target_`."""

from collections.abc import Mapping, Sequence, Sized
from functools import cached_property
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset

from runner.data.data import Batch, SearchData, Split, TargetKind
from runner.data.holdout import HoldoutData
from runner.data.splits import (
    DatasetSplit,
    check_shape,
    check_targets,
    holdout,
)
from runner.errors import ConfigError, require

LOOKS = 16  # examples of each data set that are read before a search


@final
class TorchDataset(HoldoutData):
    """Data sets with `__len__` and `__getitem__`, loaded through a DataLoader.

    Inputs are tensors of `shape`. TargetKind are class indices, or floats in a regression.
    """

    def __init__(
        self,
        train: Dataset[Any],
        test: Dataset[Any] | None,
        shape: Sequence[int],
        classes: int,
        validation: float,
        seed: int,
        loader_workers: int,
    ) -> None:
        """Takes data sets; `test` is None if there is no test data. Holds out the fraction
        `validation` of `train`, picked by `seed`. `loader_workers` is a number of processes (0:
        this one)."""
        super().__init__(shape, classes, validation, seed)
        require(loader_workers >= 0, "data.loader_workers", loader_workers, "0 or more")
        self._train_set = train
        self._test_set = test
        self.has_test = test is not None
        self._workers = loader_workers

    def check(self) -> None:
        self.load_search()
        if self._test_set is not None:
            self.load_test()
        self.first(LOOKS)

    def kind(self) -> TargetKind:
        return "numbers" if self._look[1].is_floating_point() else "classes"

    def first(self, count: int) -> Batch:
        return self._look[0][:count], self._look[1][:count]

    @cached_property
    def _look(self) -> Batch:
        """The first examples of `train`, as a batch."""
        count = min(LOOKS, len(cast(Sized, self._train_set)))
        few = DatasetSplit(Subset(self._train_set, range(count)), self.classes, loader_workers=0)
        [batch] = few.batches(LOOKS, torch.device("cpu"))
        check_shape(batch[0], self.shape)
        return batch

    def load_search(self) -> SearchData:
        places = torch.zeros(len(self._split(self._train_set, "train")))
        train, validation = holdout(places, self.validation, self.seed)
        return SearchData(
            train=self._split(Subset(self._train_set, train.tolist()), "train"),
            validation=self._split(Subset(self._train_set, validation.tolist()), "train"),
        )

    def load_test(self) -> Split:
        if self._test_set is None:
            raise ConfigError("data.test is null, so there is nothing to test on; give a data set.")
        return self._split(self._test_set, "test")

    def _split(self, dataset: Dataset[Any], key: str) -> Split:
        """Returns a split of a data set, after validating its first example."""
        if isinstance(dataset, IterableDataset):
            raise ConfigError(
                f"data.{key} is an IterableDataset; it needs __getitem__ and __len__."
            )
        if not len(cast(Sized, dataset)):
            raise ConfigError(f"data.{key} is empty.")
        example = dataset[0]
        if not (isinstance(example, tuple | list) and len(example) == 2):
            raise ConfigError(f"data.{key} returns {type(example).__name__}; it must return pairs.")
        inputs, target = example
        if not isinstance(inputs, Tensor):
            raise ConfigError(
                f"data.{key} returns inputs of type {type(inputs).__name__}; they must be tensors. "
                "Give the data set a transform, such as torchvision.transforms.ToTensor."
            )
        check_shape(inputs[None], self.shape)
        if isinstance(target, list | tuple | Mapping | str):
            raise _no_target(target, key)  # a loader makes no tensor of a batch of these
        check_targets(_tensor(target, key)[None], self.classes)
        return DatasetSplit(dataset, self.classes, self._workers)


def _tensor(target: Any, key: str) -> Tensor:
    """Returns the target of one example as a tensor. Raises ConfigError if it is no number."""
    try:
        return torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError):
        raise _no_target(target, key) from None


def _no_target(target: Any, key: str) -> ConfigError:
    return ConfigError(
        f"data.{key} returns a target of type {type(target).__name__}; it must be a number or a "
        "tensor: the index of a class, or floats."
    )
