"""Diabetes: standardized with what is trained on, and nothing else."""

import pytest
import torch

from runner.data.diabetes import Diabetes
from runner.errors import ConfigError

CPU = torch.device("cpu")


def test_only_the_training_split_has_mean_0_and_deviation_1() -> None:
    data = Diabetes([10], 1, 0.2, 0)
    ((inputs, targets),) = data.search().train.batches(1000, CPU)
    for values in (inputs, targets):
        assert torch.allclose(values.mean(0), torch.tensor(0.0), atol=1e-4)
        assert torch.allclose(values.std(0), torch.tensor(1.0), atol=1e-4)
    ((inputs, _),) = data.test().batches(1000, CPU)
    assert not torch.allclose(inputs.mean(0), torch.tensor(0.0), atol=1e-3)


def test_sizes() -> None:
    data = Diabetes([10], 1, 0.2, 0)
    sizes = [len(s) for s in (data.search().train, data.search().validation, data.test())]
    assert sizes == [283, 71, 88]


def test_wrong_shape_and_outputs() -> None:
    with pytest.raises(ConfigError, match=r"data.shape is \[5\]; diabetes has \[10\]"):
        Diabetes([5], 1, 0.2, 0)
    with pytest.raises(ConfigError, match=r"data.classes is 2; diabetes has 1 output"):
        Diabetes([10], 2, 0.2, 0)


def test_number_of_examples_is_known_before_loading() -> None:
    data = Diabetes([10], 1, validation=0.2, seed=0)
    assert len(data.search().train) + len(data.search().validation) == data.count
