"""A fingerprint changes with the contents of memory, whatever edited them."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runner.data import fingerprint as module
from runner.data.fingerprint import fingerprint, memory_of

EDITS = {
    "one value": lambda a: a.__setitem__(len(a) // 2, 9),
    "the last value": lambda a: a.__setitem__(-1, 9),
    "signs": lambda a: numpy.negative(a, out=a),
    "signs of two": lambda a: numpy.negative(a[2:4], out=a[2:4]),
    "order": lambda a: a.__setitem__(slice(None), a[::-1].copy()),
    "order of a few": lambda a: a.__setitem__(slice(0, 8), a[:8][::-1].copy()),
    "two values": lambda a: a.__setitem__([0, -1], a[[-1, 0]].copy()),
}


@pytest.fixture(params=["checksum", "sums", "pages"])
def way(request, monkeypatch):
    """Each of the ways of which the size decides, with small sizes."""
    if request.param != "checksum":
        monkeypatch.setattr(module, "SMALL", 0)
    if request.param == "pages":
        monkeypatch.setattr(module, "LARGE", 0)
    return request.param


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_every_edit_changes_it(edit, dtype, way):
    array = numpy.arange(1, 100_001).astype(dtype)[: 100_000 // 1024 * 1024]
    tensor = torch.from_numpy(array)
    before = fingerprint(array), fingerprint(tensor)
    assert before == (fingerprint(array.copy()), fingerprint(tensor.clone()))
    EDITS[edit](array)
    after = fingerprint(array), fingerprint(tensor)
    assert before[0] != after[0] and before[1] != after[1]


@given(st.binary(min_size=1, max_size=64), st.data())
def test_each_byte_counts(content, data):
    array = numpy.frombuffer(content, numpy.uint8).copy()
    before = fingerprint(array)
    place = data.draw(st.integers(0, len(array) - 1))
    array[place] ^= data.draw(st.integers(1, 255))
    assert fingerprint(array) != before


@pytest.mark.parametrize("edit", [
    lambda t: t.data.add_(1), lambda t: t.numpy().fill(0), lambda t: t.detach().zero_(),
    lambda t: torch.inference_mode()(lambda: t.mul_(2))(), lambda t: t[1:].fill_(3),
])  # fmt: skip
def test_edits_that_torch_does_not_count_are_seen(edit):
    tensor = torch.arange(6.0).view(2, 3)
    before = fingerprint(tensor)
    edit(tensor)
    assert fingerprint(tensor) != before


def test_a_part_stands_for_the_whole_memory():
    whole = torch.arange(6.0)
    before = fingerprint(whole[:2])
    whole[5] = 9
    assert fingerprint(whole[:2]) != before


@pytest.mark.parametrize("odd", [
    torch.zeros(3, device="meta"), torch.eye(2).to_sparse(), numpy.array([object()]),
    numpy.array(["a"]), torch.zeros(0), numpy.zeros(0), numpy.zeros(()), torch.tensor(1 + 1j),
    torch.zeros(2, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.bool),
], ids=lambda odd: f"{type(odd).__name__} {odd.dtype} {tuple(odd.shape)}")  # fmt: skip
def test_no_array_fails(odd):
    assert fingerprint(odd) == fingerprint(odd)
    assert memory_of(odd) == memory_of(odd)


def test_what_cannot_be_written_needs_no_look():
    array = numpy.zeros(3)
    array.flags.writeable = False
    assert memory_of(array) is None


def test_of_a_file_a_part_is_read(tmp_path):
    array = numpy.memmap(tmp_path / "data", dtype="uint8", mode="w+", shape=(1 << 14,))
    before = fingerprint(array)
    array[:] = 1
    assert fingerprint(array) != before
