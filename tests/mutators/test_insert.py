"""Insert: where a module goes, what it is given, and that all others keep their names."""

from functools import partial

import pytest
import torch
from residual import Net, Opaque, Shared, built, converted, keys, mutated, same, source
from torch import nn

from runner.errors import ConfigError, Refused
from runner.mutators.insert import Insert
from spaces.blocks import Adapter, SqueezeExcite

GOLDEN = """\
        self.layer1 = nn.Sequential(
            OrderedDict([
                ("0", Block(8)),
                ("squeeze_excite_0", SqueezeExcite(8, ratio=0.5)),
                ("1", Block(8)),
                ("squeeze_excite_1", SqueezeExcite(8, ratio=0.5)),
            ]),
        )
"""


def test_behind_the_children_of_a_sequential(graph):
    changed, _ = mutated(graph, Insert(on="layer1.*", insert=partial(SqueezeExcite, ratio=0.5)))
    assert GOLDEN in source(changed)
    model = built(changed)
    assert set(keys(Net())) < set(keys(model))
    assert same(Net(), model)


def test_in_front_of_the_children_of_a_sequential(graph):
    changed, _ = mutated(graph, Insert(on="layer1.1", insert="BatchNorm2d", where="input"))
    assert [*changed.unit("layer1").children] == ["0", "batch_norm2d_1", "1"]
    assert built(changed).layer1.batch_norm2d_1.num_features == 8


@pytest.mark.parametrize("where", ["output", "input"])
def test_beside_a_call_in_code(graph, where):
    changed, _ = mutated(graph, Insert(on="blocks.0", insert="BatchNorm2d", where=where))
    called = "self.blocks_0_batch_norm2d(x)"
    lines = {
        "output": ("x = self.blocks[0](x)", f"x = {called}", "x = self.blocks[1](x)"),
        "input": (f"x = {called}", "for block in self.blocks:", "    x = block(x)"),
    }[where]
    assert "\n".join(f"        {line}" for line in lines) in source(changed)
    built(changed)


def test_each_call_of_a_shared_module_gets_one_with_the_channels_there():
    changed, _ = mutated(converted(Shared), Insert(on="relu", insert="BatchNorm2d"))
    model = built(changed)
    assert model.relu_batch_norm2d.num_features == 4
    assert model.relu_batch_norm2d_2.num_features == 6


def test_around_what_is_called_by_code_that_cannot_be_read():
    graph = converted(Opaque)
    changed, _ = mutated(graph, Insert(on="conv", insert="ReLU"))
    assert [*map(type, built(changed).conv)] == [nn.Conv2d, nn.ReLU]
    with pytest.raises(Refused, match="the shape at the output of conv is unknown"):
        mutated(graph, Insert(on="conv", insert="BatchNorm2d"))


def test_the_same_place_twice(graph):
    twice = [Insert(on=on, insert="ReLU") for on in ("layer1.0", "layer1.0", "pool", "pool")]
    changed, _ = mutated(graph, *twice)
    assert [*changed.unit("layer1").children] == ["0", "relu_0_2", "relu_0", "1"]
    assert {"pool_relu", "pool_relu_2"} <= {*changed.root.children}
    built(changed)


def test_the_last_dimension_of_tokens():
    net = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.Flatten(2), Tokens())
    graph = converted(lambda: net)
    changed, _ = mutated(graph, Insert(on="2.fc", insert=[partial(Adapter), "Identity"]))
    assert changed.unit("2.fc_adapter").call.args == (7,)
    assert same(net, built(changed))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.transpose(1, 2)).mean(1)


def test_what_is_not_known_is_said(graph):
    with pytest.raises(Refused, match="GroupNorm needs num_groups, which is not specified"):
        mutated(graph, Insert(on="pool", insert="GroupNorm"))
    blind = graph.copy()
    blind.example = None
    with pytest.raises(Refused, match="Nothing can be inserted at pool: the channels are unknown"):
        mutated(blind, Insert(on="pool", insert="BatchNorm2d"))
    mutated(blind, Insert(on="pool", insert=[None, "BatchNorm2d"]))
    mutated(blind, Insert(on="pool", insert=partial(nn.BatchNorm2d, num_features=8)))
    with pytest.raises(ConfigError, match="where is 'behind'; it must be 'output' or 'input'"):
        Insert(on="pool", insert="ReLU", where="behind")
