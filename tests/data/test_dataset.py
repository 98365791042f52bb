"""Any torch data set: what is checked before training starts."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from runner.data.dataset import TorchDataset
from runner.errors import ConfigError


def made(train: Dataset[Any], **changed: Any) -> TorchDataset:
    good = {"test": None, "shape": [2], "classes": 3, "validation": 0.2, "seed": 0}
    return TorchDataset(train, **good | {"loader_workers": 0} | changed)


GOOD = TensorDataset(torch.randn(12, 2), torch.arange(12) % 3)


class Listed(Dataset[Any]):
    def __init__(self, examples: list[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> Any:
        return self.examples[i]


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(())


@pytest.mark.parametrize(
    ("train", "changed", "text"),
    [
        (GOOD, {"shape": [3]}, r"data.shape is \[3\], but inputs have shape \[2\]"),
        (GOOD, {"loader_workers": -1}, "data.loader_workers is -1"),
        (Listed([]), {}, "data.train is empty"),
        (Listed([torch.zeros(2)] * 5), {}, "data.train returns Tensor; it must return pairs"),
        (Listed([("picture", 0)] * 5), {}, "inputs of type str; they must be tensors"),
        (Listed([(torch.zeros(2), 7)] * 5), {}, "labels range from 7 to 7"),
        (Listed([(torch.zeros(2), 0.5)] * 5), {}, "there are 1 outputs"),
        (
            Listed([(torch.zeros(2), [1.0, 2.0])] * 5),
            {"classes": 2},
            "target of type list; it must",
        ),
        (Listed([(torch.zeros(2), (1, 2))] * 5), {}, "target of type tuple; it must be a number"),
        (Listed([(torch.zeros(2), {"a": 1})] * 5), {}, "target of type dict; it must be a number"),
        (Listed([(torch.zeros(2), "cat")] * 5), {}, "target of type str; it must be a number"),
        (Endless(), {}, "data.train is an IterableDataset"),
    ],
)
def test_what_cannot_be_trained_on(train: Dataset[Any], changed: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        made(train, **changed).search()


def test_labels_of_the_first_examples_are_checked_before_a_search() -> None:
    with pytest.raises(ConfigError, match=r"data\.classes is 2, but labels range from 0 to 2"):
        made(GOOD, classes=2).check()


def test_no_test_split() -> None:
    data = made(GOOD)
    data.search()
    with pytest.raises(ConfigError, match=r"data.test is null"):
        data.test()


def test_search_does_not_look_at_the_test_examples() -> None:
    made(GOOD, test=Listed([])).search()
    with pytest.raises(ConfigError, match=r"data.test is empty"):
        made(GOOD, test=Listed([])).test()


def test_regression() -> None:
    data = made(Listed([(torch.zeros(2), 0.5)] * 5), classes=1)
    ((_, targets),) = data.search().train.batches(9, torch.device("cpu"))
    assert targets.dtype == torch.float32
