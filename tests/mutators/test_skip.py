"""Skip: sums of what goes in and what comes out, in code and in Sequentials."""

import pytest
import torch
from residual import Net, Opaque, built, converted, keys, mutated, source
from torch import nn

from runner.errors import Refused
from runner.mutators.skip import Skip

GOLDEN = """\
class Sequential(nn.Sequential):
    def __init__(self):
        super().__init__(Block(8), Block(8))

    def forward(self, input):
        input_1 = self[0](input)
        input_1 = self[1](input_1)
        input = input_1 + input
        return input
"""


def test_a_sequential_gets_a_forward_of_its_own(graph):
    changed, _ = mutated(graph, Skip(on="layer1.0", to="layer1.1", skip=True))
    assert GOLDEN in source(changed)
    model = built(changed)
    assert keys(model) == keys(Net())
    x = torch.randn(2, 8, 4, 4)
    plain = nn.Sequential.forward(model.layer1, x.clone())
    torch.testing.assert_close(model.layer1(x), plain + x)


def test_a_call_in_code(graph):
    changed, _ = mutated(graph, Skip(on="blocks.1", skip=True))
    assert "        x_1 = self.blocks[1](x)\n        x = x_1 + x\n" in source(changed)
    assert keys(built(changed)) == keys(Net())


def test_what_is_overwritten_is_copied_before():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1))
    changed, _ = mutated(converted(lambda: net), Skip(on="1", to="2", skip=True))
    model = built(changed)
    model.load_state_dict(net.state_dict())
    x = net[0](torch.randn(2, 3, 4, 4)).detach()
    expected = net[2](net[1](x.clone())) + x
    model[0] = nn.Identity()
    torch.testing.assert_close(model(x), expected)


def test_where_nothing_can_be_seen_it_is_said(graph):
    with pytest.raises(Refused, match=r"The call of conv \(Conv2d\) cannot be changed"):
        mutated(converted(Opaque), Skip(on="conv", skip=True))
    with pytest.raises(Refused, match=r"layer1\.0 is called in layer1"):
        mutated(graph, Skip(on="layer1.0", to="blocks.0", skip=True))
