"""Held data is unchanged until a trial edits it; caches may be filled."""

from collections.abc import Iterator

import numpy
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from runner.data import held
from runner.data.data import SearchData
from runner.data.digits import Digits
from runner.data.held import HeldData
from runner.data.splits import TensorSplit


class Examples(Dataset):
    """A data set of a user, with state of each kind."""

    def __init__(self):
        self.x = torch.arange(12.0).view(4, 3)
        self.array = numpy.arange(4.0)
        self.targets = [0, 1, 0, 1]
        self.samples = [("a", 0), ("b", 1)]
        self.options = {"scale": 1.0, "inner": {"shift": torch.zeros(2)}}
        self.transform = None
        self.count = 0
        self.reader = iter([1, 2])
        self.parts = (torch.ones(2), [torch.ones(2)])

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.x[index], self.targets[index]


EDITS = {
    "a tensor": lambda d: d.x.add_(1),
    "a part of a tensor": lambda d: d[1][0].zero_(),
    "a tensor's data": lambda d: d.x.data.mul_(2),
    "a tensor's memory": lambda d: d.x.numpy().fill(0),
    "a tensor's storage": lambda d: d.x.set_(torch.zeros(4, 3)),
    "data of another tensor": lambda d: setattr(d.x, "data", torch.zeros(4, 3)),
    "another tensor": lambda d: setattr(d, "x", torch.zeros(4, 3)),
    "another dtype": lambda d: setattr(d, "x", d.x.double()),
    "no tensor": lambda d: delattr(d, "x"),
    "an array": lambda d: d.array.sort() or d.array.__setitem__(0, 9),
    "the order of an array": lambda d: d.array.__setitem__(slice(None), d.array[::-1].copy()),
    "a target": lambda d: d.targets.__setitem__(2, 7),
    "more targets": lambda d: d.targets.append(1),
    "the order of targets": lambda d: d.targets.reverse(),
    "a sample": lambda d: d.samples.__setitem__(0, ("c", 0)),
    "an option": lambda d: d.options.update(scale=2.0),
    "no options": lambda d: d.options.clear(),
    "an inner tensor": lambda d: d.options["inner"]["shift"].add_(1),
    "a tensor in a tuple": lambda d: d.parts[0].add_(1),
    "a tensor in a list in a tuple": lambda d: d.parts[1].__setitem__(0, torch.zeros(2)),
    "a count": lambda d: setattr(d, "count", 1),
    "a method": lambda d: setattr(d, "__len__", lambda: 1),
}
FILLS = {
    "nothing": lambda d: None,
    "None": lambda d: setattr(d, "transform", torch.nn.Identity()),
    "a new attribute": lambda d: setattr(d, "cached", torch.ones(3)),
    "a new option": lambda d: d.options.update(new=3),
    "a reader": lambda d: setattr(d, "reader", iter([])),
    "the position of a reader": lambda d: next(d.reader),
    "an equal tensor": lambda d: setattr(d, "x", d.x.clone()),
    "an equal number": lambda d: setattr(d, "count", 0),
    "reading": lambda d: [d[i] for i in range(4)],
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_noticed(edit):
    data = Examples()
    found = HeldData(TensorDataset(data.x), data)
    EDITS[edit](data)
    assert not found.are_unchanged()


@pytest.mark.parametrize("fill", FILLS)
def test_what_was_empty_may_be_filled(fill):
    data = Examples()
    found = HeldData(data)
    FILLS[fill](data)
    assert found.are_unchanged() and found.are_unchanged()


def test_another_look_finds_what_was_filled_and_keeps_what_it_knew():
    data = Examples()
    first = HeldData(data)
    data.cached = torch.ones(3)
    assert first.are_unchanged() and first.has_grown and first.holds(data)
    again = HeldData(data, earlier=first)
    assert again.are_unchanged() and not again.has_grown
    data.cached.add_(1)
    assert first.are_unchanged() and not again.are_unchanged()


def test_an_earlier_look_is_not_read_again(monkeypatch):
    data = Examples()
    first = HeldData(data)
    read = []
    monkeypatch.setattr(held, "fingerprint", read.append)
    data.cached = torch.ones(3)
    HeldData(data, earlier=first)
    assert len(read) == 1 and read[0] is data.cached


def test_a_split_is_unchanged_by_training_and_not_by_an_edit():
    x = torch.arange(8.0).view(4, 2)
    data = SearchData(TensorSplit(x, torch.zeros(4).long()), TensorSplit(x + 1, torch.ones(4)))
    found = HeldData(data)
    for split in (data.train, data.validation):
        batches = split.batches(2, torch.device("cpu"), torch.Generator())
        assert isinstance(batches, Iterator) and len([*batches]) == 2
    assert found.are_unchanged()
    object.__setattr__(data, "train", data.validation)
    assert not found.are_unchanged()


def test_digits_are_held():
    data = Digits([1, 8, 8], 10, 0.2, 0)
    part = data.search()
    found = HeldData(part, data)
    assert found.are_unchanged()
    images, _ = next(part.train.batches(8, torch.device("cpu")))
    images.numpy()[0] = 0
    assert not found.are_unchanged()


def test_rings_and_odd_objects_end_the_look():
    ring = [torch.ones(1)]
    ring.append(ring)

    class Odd:
        def __eq__(self, other):
            raise RuntimeError

        __hash__ = None

    data = {"ring": ring, "odd": Odd(), "many": [[i] for i in range(2 * held.MOST)]}
    found = HeldData(data)
    assert found.are_unchanged()
    ring[0].add_(1)
    assert not found.are_unchanged()
