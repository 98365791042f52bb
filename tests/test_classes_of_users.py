"""Classes of users: what changes in them between two conversions is seen, and none is kept."""

import gc
import importlib
import linecache
import sys
import weakref

import pytest
from torch import nn

from runner.graph import convert, generate, lint, load_source, recording
from runner.graph.codegen.classes.unit_forms import located

SOURCE = """
from torch import nn

from runner import nn as rnn


@rnn.basic_unit
class Filter(nn.Module):
    def __init__(self, size={size}):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, size, padding="same")

    def forward(self, x):
        return self.conv(x)


class Block(nn.Module):
    def __init__(self, small):
        super().__init__()
        self.filter = Filter() if small else Filter(9)

    def forward(self, x):
        return self.filter(x) + 1


class Uncompiled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def train(self, mode=True):
        return super().train(mode)

    def forward(self, x):
        return self.conv(eval("x"))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = Block(True), Block(False), Uncompiled()

    def forward(self, x):
        return self.third(self.second(self.first(x)))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the module `edited`, whose filters are of some size, and imports it as it is now."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def written(size):
        (tmp_path / "edited.py").write_text(SOURCE.format(size=size))
        linecache.checkcache()
        known = sys.modules.get("edited")
        return importlib.reload(known) if known else importlib.import_module("edited")

    yield written
    sys.modules.pop("edited", None)


def _converted(make):
    with recording():
        return convert(make())


def _source(cls):
    """Returns the source of a model with classes for its blocks."""
    graph = _converted(cls)
    lint(graph)
    for path in ("", "first", "second"):
        unit = graph.unit(path)
        unit.changed = True
    return generate(graph)


@pytest.mark.parametrize("sizes", [(3, 5), (5, 9), (9, 3)])
def test_a_default_that_was_edited_is_the_one_of_the_source(module, sizes):
    for size in sizes:
        edited = module(size)
        built, model = load_source(_source(edited.Net)).build(), edited.Net()
        shapes = {name: weight.shape for name, weight in model.state_dict().items()}
        assert {name: weight.shape for name, weight in built.state_dict().items()} == shapes
        assert shapes["first.filter.conv.weight"][-1] == size


def _forward(self, x):
    return self.filter(x).neg()


def _train(self, mode=True):
    return nn.Module.train(self, mode)


def test_methods_that_are_replaced_are_seen(module):
    block = module(3).Block
    first = _converted(lambda: block(True))
    block.forward, block.train = _forward, _train
    second = _converted(lambda: block(True))
    assert "neg" in str(second) and "neg" not in str(first)
    assert second.root.inherits and not first.root.inherits


@pytest.mark.parametrize("standalone", [False, True])
def test_no_class_outlives_its_last_use(module, standalone):
    edited = module(3)
    graph = _converted(edited.Net)
    lint(graph)
    assert located("edited:Net") is edited.Net
    generate(graph, standalone=standalone)
    classes = [weakref.ref(c) for c in vars(edited).values() if isinstance(c, type)]
    assert len(classes) == 4
    del edited, graph, sys.modules["edited"]
    gc.collect()
    assert [one() for one in classes] == [None] * 4
