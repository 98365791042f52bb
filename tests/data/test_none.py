"""No data: one example, so that whatever reads some finds it."""

import torch

from runner.data.none import NoData


def test_each_split_has_one_example_and_none_is_a_test_split():
    data = NoData([1], 1)
    data.check()
    assert not data.has_test and (data.shape, data.classes) == ((1,), 1)
    for split in (data.search().train, data.search().validation, data.test()):
        [(inputs, targets)] = split.batches(8, torch.device("cpu"))
        assert inputs.tolist() == [[0.0]] and targets.tolist() == [0]
