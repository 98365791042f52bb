"""Remove: modules and calls that are gone, and what others count on."""

import pytest
import torch
from residual import Net, Opaque, Shared, built, converted, keys, mutated, same, source
from torch import nn

from runner.errors import Refused
from runner.mutators.remove import Remove


def test_a_module_that_code_calls_is_gone_and_so_is_its_call(graph):
    changed, _ = mutated(graph, Remove(on="drop", remove=True))
    assert "drop" not in source(changed)
    model = built(changed)
    assert same(Net(), model)
    assert keys(model) == keys(Net())


def test_an_identity_stands_where_others_count_on_their_places(graph):
    changed, _ = mutated(graph, Remove(on="layer1.0", remove=True))
    assert "self.layer1 = nn.Sequential(nn.Identity(), Block(8))" in source(changed)
    built(changed)
    opaque, _ = mutated(converted(Opaque), Remove(on="blocks.0", remove=True))
    assert isinstance(built(opaque).blocks[0], nn.Identity)


def test_all_calls_of_a_shared_module_are_gone():
    changed, _ = mutated(converted(Shared), Remove(on="relu", remove=True))
    assert "self.relu" not in source(changed)
    built(changed)


def test_a_dropout_whose_rate_is_read_stays_without_effect():
    changed, _ = mutated(converted(Shared), Remove(cls="Dropout", remove=True))
    assert "self.drop = nn.Dropout(0.0)" in source(changed)
    built(changed)


def test_what_is_read_elsewhere_cannot_go():
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x) + self.fc.weight.sum()

    with pytest.raises(Refused, match=r"fc \(Linear\) cannot be removed: code reads 'fc.weight'"):
        mutated(converted(Reads), Remove(on="fc", remove=True))


def test_a_call_in_code_is_gone(graph):
    changed, sample = mutated(graph, Remove(op="relu", remove=[True, False]))
    assert {"remove/relu", "remove/layer1.0/relu"} < {*sample}
    assert "return self.relu(self.conv(x)) + x" in source(changed)
    first, _ = mutated(graph, Remove(op="relu", remove=True))
    assert "relu_" not in source(first)
    built(first)


def test_what_is_gone_with_its_parent_is_not_asked_about(graph):
    _, sample = mutated(graph, Remove(on="layer1.**", remove=[True, False]))
    assert [*sample] == ["remove/layer1.0", "remove/layer1.1"]
