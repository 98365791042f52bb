"""What holds for every data set."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from runner.data.data import Data, Split
from runner.data.dataset import TorchDataset
from runner.data.diabetes import Diabetes
from runner.data.digits import Digits
from runner.data.vision import CIFAR10, CIFAR100, MNIST, FashionMNIST, ImageFolder

CPU = torch.device("cpu")
NAMES = (
    "digits", "diabetes", "mnist", "fashion_mnist", "cifar10", "cifar100", "image_folder", "dataset"
)  # fmt: skip
VISION = {
    "mnist": (MNIST, [1, 28, 28], 10),
    "fashion_mnist": (FashionMNIST, [1, 28, 28], 10),
    "cifar10": (CIFAR10, [3, 32, 32], 10),
    "cifar100": (CIFAR100, [3, 32, 32], 100),
}


def tensors(seed: int) -> Dataset[Any]:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(40, 3, 5, 5, generator=generator), torch.arange(40) % 4)


@pytest.fixture(params=NAMES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Data]:
    """make(seed=0, validation=0.25): one of the data sets; its files are there."""
    name = request.param
    common = {"seed": 0, "validation": 0.25}
    if name == "digits":
        return lambda **k: Digits([1, 8, 8], 10, **common | k)
    if name == "diabetes":
        return lambda **k: Diabetes([10], 1, **common | k)
    if name == "dataset":
        train, test = tensors(1), tensors(2)
        return lambda **k: TorchDataset(train, test, [3, 5, 5], 4, loader_workers=0, **common | k)
    if name == "image_folder":
        write = request.getfixturevalue("write_folder")
        write(tmp_path, "train", 8)
        write(tmp_path, "test", 2)
        half = {"mean": [0.5] * 3, "std": [0.25] * 3}
        return lambda **k: ImageFolder(
            str(tmp_path), [3, 6, 6], 2, loader_workers=0, **half, **common | k
        )
    target, shape, classes = VISION[name]
    request.getfixturevalue("torchvision")
    writer = request.getfixturevalue("write_cifar" if "cifar" in name else "write_mnist")
    writer(tmp_path, target.name)
    return lambda **k: target(str(tmp_path), False, shape, classes, **common | k)


def whole(split: Split) -> tuple[Tensor, Tensor]:
    inputs, targets = zip(*split.batches(7, CPU), strict=True)
    return torch.cat(inputs), torch.cat(targets)


def test_a_loader_gives_the_same_examples(make: Callable[..., Data]) -> None:
    data = make()
    for split in (data.search().train, data.search().validation, data.test()):
        loader = split.loader(batch_size=7)
        found = [*loader]
        assert len(loader) == len(found) and len(loader.dataset) == len(split)  # type: ignore[arg-type]
        for mine, other in zip(zip(*found, strict=True), whole(split), strict=True):
            joined = torch.cat(mine)
            assert joined.dtype == other.dtype and torch.allclose(joined, other, atol=1e-6)
        inputs, target = loader.dataset[0]
        assert inputs.shape == data.shape and target.shape == found[0][1].shape[1:]


def test_a_loader_shuffles_by_its_seed_alone(make: Callable[..., Data]) -> None:
    split = make().search().train

    def order(loader: Iterable[Any]) -> list[Any]:
        return torch.cat([inputs.flatten(1) for inputs, _ in loader]).tolist()

    torch.manual_seed(1)
    loader = split.loader(shuffle=True, seed=3)
    first, second = order(loader), order(loader)
    torch.manual_seed(2)
    again, other = (order(split.loader(shuffle=True, seed=seed)) for seed in (3, 4))
    assert first == again
    assert first != second and first != other
    assert sorted(first) == sorted(second) == sorted(other) == sorted(order(split.loader()))


def test_batches_of_a_loader_may_be_changed(make: Callable[..., Data]) -> None:
    split = make().search().train
    before = whole(split)[0].clone()
    for inputs, _ in split.loader():
        inputs.zero_()
    assert torch.equal(whole(split)[0], before)


def rows(split: Split) -> set[tuple[float, ...]]:
    return {tuple(row) for row in whole(split)[0].flatten(1).tolist()}


def test_splits_have_no_example_in_common(make: Callable[..., Data]) -> None:
    data = make()
    train, validation, test = data.search().train, data.search().validation, data.test()
    assert len(train) > len(validation) > 0
    assert len(test) > 0
    assert not rows(train) & rows(validation)
    if isinstance(data, Digits | Diabetes | TorchDataset):  # elsewhere test files are their own
        assert not rows(test) & (rows(train) | rows(validation))


def test_batches_are_as_the_contract_says(make: Callable[..., Data]) -> None:
    data = make()
    for split in (data.search().train, data.search().validation, data.test()):
        inputs, targets = whole(split)
        assert len(inputs) == len(targets) == len(split)
        assert inputs.shape[1:] == data.shape
        assert inputs.dtype == torch.float32
        if targets.is_floating_point():
            assert targets.shape == (len(split), data.classes)
        else:
            assert targets.dtype == torch.int64
            assert 0 <= targets.min() <= targets.max() < data.classes


def test_inputs_are_normalized(make: Callable[..., Data]) -> None:
    inputs, _ = whole(make().search().train)
    assert abs(inputs.mean()) < 1.3  # the written pixels are uniform, not MNIST's
    assert 0.3 < inputs.std() < 2


def test_each_example_comes_once_and_last_batch_may_be_smaller(make: Callable[..., Data]) -> None:
    split = make().search().train
    for shuffle in (None, torch.Generator().manual_seed(3)):
        sizes = [len(targets) for _, targets in split.batches(7, CPU, shuffle)]
        assert sum(sizes) == len(split)
        assert set(sizes[:-1]) <= {7}
        assert 1 <= sizes[-1] <= 7


def test_order_comes_from_the_generator_alone(make: Callable[..., Data]) -> None:
    split = make().search().train

    def order(seed: int) -> Tensor:
        shuffle = torch.Generator().manual_seed(seed)
        return torch.cat([inputs for inputs, _ in split.batches(7, CPU, shuffle)])

    before = torch.get_rng_state()
    first, again, other = order(1), order(1), order(2)
    stored, _ = whole(split)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(stored, whole(split)[0])


def test_seed_changes_the_validation_split_and_not_the_test_split(
    make: Callable[..., Data],
) -> None:
    one, same, two = make(seed=1), make(seed=1), make(seed=2)
    assert rows(one.search().validation) == rows(same.search().validation)
    assert rows(one.search().validation) != rows(two.search().validation)
    assert len(one.test()) == len(two.test())
    assert torch.equal(whole(one.test())[1].sort(0)[0], whole(two.test())[1].sort(0)[0]) or (
        isinstance(one, Diabetes)  # standardized with what it trains on
    )


def test_loaded_once(make: Callable[..., Data]) -> None:
    data = make()
    assert data.search().train is data.search().train
    if not isinstance(data, TorchDataset):
        assert data.test() is data.test()


def test_what_is_known_before_loading_is_true(make: Callable[..., Data]) -> None:
    data = make()
    data.check()
    _, targets = next(data.search().train.batches(4, CPU))
    assert data.kind() == ("numbers" if targets.is_floating_point() else "classes")
    if (few := data.first(2)) is not None:
        assert few[0].shape == (2, *data.shape) and len(few[1]) == 2
