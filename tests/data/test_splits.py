"""Splits: normalizing, checks, holding out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset, TensorDataset, default_collate

from runner.data.splits import (
    DatasetSplit,
    Normalize,
    TensorSplit,
    check_targets,
    holdout,
)
from runner.errors import ConfigError

CPU = torch.device("cpu")


def test_normalize_is_per_channel() -> None:
    images = torch.tensor([[[[0]], [[255]]]], dtype=torch.uint8)  # (1, 2, 1, 1)
    normalized = Normalize([0.5, 0.5], [0.5, 0.25])(images)
    assert torch.allclose(normalized.flatten(), torch.tensor([-1.0, 2.0]))
    assert images.flatten().tolist() == [0, 255]


def test_tensor_split_keeps_bytes_and_gives_floats() -> None:
    images = torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1)
    split = TensorSplit(images, torch.arange(12), Normalize([0.0], [1 / 255]))
    for inputs, targets in split.batches(5, CPU, torch.Generator().manual_seed(0)):
        assert torch.allclose(inputs.flatten(), targets.float())


def test_both_kinds_of_split_give_the_same_order() -> None:
    images, labels = torch.randn(11, 2), torch.arange(11)
    memory = TensorSplit(images, labels)
    streamed = DatasetSplit(TensorDataset(images, labels), classes=11, loader_workers=0)
    for seed in range(3):
        orders = [
            torch.cat([y for _, y in split.batches(4, CPU, torch.Generator().manual_seed(seed))])
            for split in (memory, streamed)
        ]
        assert torch.equal(*orders)


def test_loader_workers_give_the_same_batches() -> None:
    examples = TensorDataset(torch.arange(10.0)[:, None], torch.arange(10))
    one, two = (
        [y.tolist() for _, y in DatasetSplit(examples, 10, workers).batches(4, CPU)]
        for workers in (0, 1)
    )
    assert one == two == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


class Doubles(Dataset[tuple[torch.Tensor, float]]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> tuple[torch.Tensor, float]:
        return torch.tensor([float(i)], dtype=torch.float64), float(i)


def test_doubles_become_floats() -> None:
    ((inputs, targets),) = DatasetSplit(Doubles(), 1, 0).batches(3, CPU)
    assert inputs.dtype == targets.dtype == torch.float32


def test_a_loader_takes_the_arguments_of_torch() -> None:
    split = DatasetSplit(Doubles(), 1, loader_workers=1)
    [(inputs, targets)] = split.loader(2, drop_last=True)
    assert inputs.tolist() == [[0.0], [1.0]] and targets.tolist() == [0.0, 1.0]
    assert inputs.dtype == targets.dtype == torch.float32
    ours = [y.tolist() for _, y in split.loader(2, num_workers=1)]
    assert ours == [[0.0, 1.0], [2.0]] and split.loader().num_workers == 0
    with pytest.raises(IndexError):
        TensorSplit(inputs, targets).examples()[2]


def test_a_loader_may_collate_as_the_user_likes() -> None:
    inputs, targets = torch.arange(6.0).view(3, 2), torch.arange(3)
    split = TensorSplit(inputs, targets)
    ours = [[part.tolist() for part in batch] for batch in split.loader(2)]
    plain = [[p.tolist() for p in b] for b in split.loader(2, collate_fn=default_collate)]
    assert ours == plain == [[[[0.0, 1.0], [2.0, 3.0]], [0, 1]], [[[4.0, 5.0]], [2]]]
    pairs = [[(x.tolist(), int(y)) for x, y in batch] for batch in split.loader(2, collate_fn=list)]
    assert pairs == [[([0.0, 1.0], 0), ([2.0, 3.0], 1)], [([4.0, 5.0], 2)]]


def test_labels_are_checked_in_every_batch_of_a_loader() -> None:
    split = DatasetSplit(TensorDataset(torch.zeros(4, 1), torch.arange(4)), 3, 0)
    with pytest.raises(ConfigError, match=r"data\.classes is 3, but labels range from 3 to 3"):
        [*split.loader(2)]


@pytest.mark.parametrize(
    ("targets", "classes", "text"),
    [
        (torch.tensor([0, 3]), 3, "data.classes is 3, but labels range from 0 to 3"),
        (torch.tensor([-1, 1]), 3, "labels range from -1 to 1; they must range from 0 to 2"),
        (torch.zeros(4, 2), 3, "data.classes is 3, but there are 2 outputs"),
        (torch.zeros(4), 3, "but there are 1 outputs"),
    ],
)
def test_targets_must_fit_classes(targets: torch.Tensor, classes: int, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_targets(targets, classes)


def test_labels_are_checked_in_every_batch() -> None:
    split = DatasetSplit(TensorDataset(torch.zeros(4, 1), torch.arange(4)), 3, 0)
    batches = split.batches(3, CPU)
    next(batches)
    with pytest.raises(ConfigError, match="labels range from 3 to 3"):
        next(batches)


@given(
    st.lists(st.integers(0, 3), min_size=8, max_size=60),
    st.floats(0.2, 0.8),
    st.integers(0, 2**31 - 1),
)
def test_holdout_parts_each_class_alike(labels: list[int], fraction: float, seed: int) -> None:
    all_labels = torch.tensor(labels)
    kept, held = holdout(all_labels, fraction, seed)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert len(held) == round(fraction * len(labels))
    for label in set(labels):
        count = int((all_labels[held] == label).sum())
        assert abs(count - fraction * labels.count(label)) <= 1


def test_holdout_that_leaves_nothing_says_so() -> None:
    with pytest.raises(ConfigError, match="leaves 3 of 3 examples to train on and 0 to validate"):
        holdout(torch.zeros(3), 0.1, 0)
