"""Whether modules were built alike."""

from functools import partial

import numpy as np
import pytest
import torch

from runner import nn
from runner.nn.equality import differences, same_structure
from runner.nn.recording.construction_record import recording
from spaces.cell import CellNet
from spaces.mlp import MLP
from spaces.mobilenet import MobileNet
from spaces.resnet import ResNet
from spaces.transformer import Transformer


def both(factory):
    """A symbolic build under the first and one under the last candidates."""
    models = []
    for defaults in ("first", "last"):
        with nn.symbolic(defaults=defaults):
            models.append(factory())
    return models


@pytest.mark.parametrize("space", [CellNet, MLP, MobileNet, ResNet, Transformer])
def test_shipped_spaces_take_nothing_from_what_is_open(space):
    assert differences(*both(space)) == []


class Taken(nn.Module):
    """Takes a number from a layer whose width is open."""

    def __init__(self, take):
        super().__init__()
        self.conv = nn.Conv2d(3, nn.ValueChoice([4, 8], label="width"), 3)
        take(self)


def head(net):
    net.head = nn.Linear(net.conv.out_channels, 2)


def attribute(net):
    net.width = net.conv.out_channels


def parameter(net):
    net.scale = nn.Parameter(torch.ones(net.conv.out_channels))


def fill(net):
    nn.init.normal_(net.conv.weight, std=1 / net.conv.weight.numel())


def branch(net):
    if net.conv.out_channels > 4:
        net.more = nn.ReLU()


def candidate(net):
    net.choice = nn.LayerChoice([partial(nn.Linear, net.conv.out_channels, 2)], label="c")


@pytest.mark.parametrize(
    ("take", "path"),
    [(head, "head"), (attribute, ""), (parameter, ""), (fill, ""), (branch, "more"),
     (candidate, "choice.0")],
)  # fmt: skip
def test_numbers_taken_from_what_is_open_are_found(take, path):
    assert differences(*both(lambda: Taken(take))) == [path]


def test_what_follows_the_choice_is_no_difference():
    def harmless(net):
        nn.init.kaiming_normal_(net.conv.weight, mode="fan_out")
        net.norm = nn.BatchNorm2d(nn.ValueChoice([4, 8], label="width"))
        net.width = nn.ValueChoice([4, 8], label="width") * 2
        net.function = lambda x: x + len(net.name)
        net.name = "name"
        net.blocks = nn.Repeat(nn.ReLU(), (1, 2), label="depth")
        net.layers = nn.ModuleList(nn.ReLU() for _ in range(2))
        net.mix = nn.InputChoice(3, 2, label="mix")
        net.noise = nn.Parameter(torch.randn(3))

    assert differences(*both(lambda: Taken(harmless))) == []


def test_structures_differ_in_calls_attributes_and_buffers():
    def made(factory):
        with recording():
            return factory()

    def with_attribute(value):
        layer = nn.ReLU()
        layer.value = value
        return layer

    def with_buffer(value):
        layer = nn.ReLU()
        layer.register_buffer("value", torch.tensor(value))
        return layer

    same = [nn.ReLU, lambda: nn.Linear(2, 3), lambda: nn.Sequential(nn.Conv2d(1, 1, 3)),
            partial(with_attribute, [1]), partial(with_buffer, [1]),
            lambda: with_attribute(np.arange(3.0))]  # fmt: skip
    for factory in same:
        assert same_structure(made(factory), made(factory))
    pairs = [
        (nn.ReLU, nn.Tanh),
        (nn.ReLU, lambda: nn.ReLU(True)),
        (lambda: nn.MaxPool2d(3, 1), lambda: nn.MaxPool2d(3, 2)),
        (lambda: nn.Sequential(nn.ReLU()), lambda: nn.Sequential(nn.ReLU(), nn.ReLU())),
        (partial(with_attribute, [1]), partial(with_attribute, [2])),
        (partial(with_attribute, 1), partial(with_attribute, 1.0)),
        *(
            (partial(with_attribute, np.arange(4.0)), partial(with_attribute, other))
            for other in (np.ones(4), np.arange(4), np.arange(4.0).reshape(2, 2))
        ),
        (partial(with_buffer, [1]), partial(with_buffer, [2])),
    ]
    for one, other in pairs:
        assert not same_structure(made(one), made(other))


def test_constants_of_the_shape_of_a_choice_differ():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            width = nn.ValueChoice([2, 3], label="width")
            self.layer = nn.Linear(width, 2)
            ones = torch.ones(self.layer.in_features)
            self.scale = nn.Parameter(torch.from_numpy(ones.numpy()))

    first, last = both(Net)
    assert "" in differences(first, last)
