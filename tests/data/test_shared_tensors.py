"""Data is loaded once on a machine, and what one worker does to it no other one sees."""

import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runner.data.digits import Digits
from runner.data.shared_tensors import loaded_once, shared_in

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


class Loads:
    """Counts how often it is called."""

    def __init__(self, *tensors):
        self.tensors, self.count = tensors, 0

    def __call__(self):
        self.count += 1
        return self.tensors


def load(folder, loads, key="data", part="search"):
    with shared_in(folder, key):
        return loaded_once(part, loads)


@given(
    shape=st.lists(st.integers(0, 4), max_size=3), dtype=st.sampled_from(DTYPES), flip=st.booleans()
)
def test_what_is_shared_is_what_was_loaded(shape, dtype, flip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    tensor = (torch.rand(shape) * 9).to(dtype)
    tensor = tensor.transpose(0, -1) if flip and tensor.dim() > 1 else tensor
    loads = Loads(tensor, torch.empty(0, 3))
    for _ in range(2):
        found = load(folder, loads)
        for one, other in zip(found, loads.tensors, strict=True):
            assert one.dtype == other.dtype and one.shape == other.shape
            assert torch.equal(one, other) and one.is_contiguous()
    assert loads.count == 1


def test_what_one_changes_the_others_do_not_see(tmp_path):
    loads = Loads(torch.zeros(5))
    (mine,), (theirs,) = (load(tmp_path, loads) for _ in range(2))
    mine.fill_(7)
    assert theirs.sum() == 0 and load(tmp_path, loads)[0].sum() == 0 and loads.count == 1


@pytest.mark.parametrize("change", [{"key": "other"}, {"part": "test"}])
def test_other_data_is_loaded_anew(tmp_path, change):
    loads = Loads(torch.zeros(5))
    load(tmp_path, loads)
    load(tmp_path, loads, **change)
    assert loads.count == 2


def test_without_a_folder_nothing_is_shared_or_written(tmp_path):
    loads = Loads(torch.zeros(5))
    assert load(None, loads)[0] is load(None, loads)[0] and loads.count == 2
    shutil.rmtree(tmp_path)
    assert load(tmp_path, loads)[0] is loads.tensors[0] and not tmp_path.exists()


def test_damaged_files_are_not_read(tmp_path):
    loads = Loads(torch.arange(5))
    load(tmp_path, loads)
    for path in tmp_path.glob("*/0"):
        path.write_bytes(b"short")
    found = load(tmp_path, loads)
    assert torch.equal(found[0], torch.arange(5)) and loads.count == 2


def test_data_sets_of_tensors_are_loaded_once(tmp_path, monkeypatch):
    splits = []
    for _ in range(2):
        data = Digits(shape=[1, 8, 8], classes=10, validation=0.2, seed=0)
        with shared_in(tmp_path, "digits"):
            splits.append((data.search().train, data.search().validation, data.test()))
        monkeypatch.setattr(Digits, "load", None)  # not called again
    for one, other in zip(*splits, strict=True):
        [(x, y)] = one.batches(5000, torch.device("cpu"))
        [(u, v)] = other.batches(5000, torch.device("cpu"))
        assert torch.equal(x, u) and torch.equal(y, v)
