"""Digits: the real images."""

import pytest
import torch

from runner.data.digits import Digits
from runner.errors import ConfigError

CPU = torch.device("cpu")


def test_sizes_and_classes() -> None:
    data = Digits([1, 8, 8], 10, 0.2, 0)
    sizes = [len(s) for s in (data.search().train, data.search().validation, data.test())]
    assert sizes == [1150, 288, 359]
    ((_, labels),) = data.test().batches(360, CPU)
    assert labels.bincount().min() >= 34  # each class has its share


def test_test_split_is_the_same_for_every_seed_and_share() -> None:
    ((one, _),) = Digits([1, 8, 8], 10, 0.2, 0).test().batches(360, CPU)
    ((two, _),) = Digits([1, 8, 8], 10, 0.5, 7).test().batches(360, CPU)
    assert torch.equal(one, two)


def test_resized_and_repeated() -> None:
    small, large = Digits([1, 8, 8], 10, 0.2, 0), Digits([3, 16, 16], 10, 0.2, 0)
    ((a, _),), ((b, _),) = small.test().batches(360, CPU), large.test().batches(360, CPU)
    assert b.shape == (359, 3, 16, 16)
    assert torch.equal(b[:, 0], b[:, 2])
    assert torch.allclose(a.mean((1, 2, 3)), b.mean((1, 2, 3)), atol=0.15)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"classes": 5}, "data.classes is 5; digits has 10"),
        ({"validation": 1.0}, "data.validation is 1.0; it must be above 0 and below 1"),
        ({"validation": 0.0}, "data.validation is 0.0"),
        ({"shape": [8, 8]}, "images need"),
        ({"shape": [1, 0, 8]}, "its numbers must be at least 1"),
        ({"shape": []}, r"data.shape is \[\]"),
        ({"classes": 0}, "data.classes is 0; it must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_before_loading(changed: dict[str, object], text: str) -> None:
    good = {"shape": [1, 8, 8], "classes": 10, "validation": 0.2, "seed": 0}
    with pytest.raises(ConfigError, match=text):
        Digits(**good | changed)


def test_number_of_examples_is_known_before_loading() -> None:
    data = Digits([1, 8, 8], 10, validation=0.2, seed=0)
    assert len(data.search().train) + len(data.search().validation) == data.count
