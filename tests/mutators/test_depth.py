"""Depth: blocks dropped and repeated, in containers and in code that calls them one by one."""

import pytest
import torch
from residual import Block, Net, Opaque, built, converted, keys, mutated, source
from torch import Tensor, nn

from runner.errors import Refused
from runner.graph import propagate
from runner.graph.codegen.load import load_source
from runner.graph.interpreter.meta_interpreter import Mismatch
from runner.graph.ir.node import Spec
from runner.mutators.depth import Depth


def children(model: nn.Module, name: str) -> list[str]:
    return [*dict(model.get_submodule(name).named_children())]


@pytest.mark.parametrize("stage", ["layer1", "blocks"])
@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_the_first_blocks_stay_under_their_names(graph, stage, depth):
    changed, _ = mutated(graph, Depth(on=stage, depth=depth))
    model = built(changed)
    assert children(model, stage) == [str(i) for i in range(depth)]
    others = [key for key in keys(Net()) if not key.startswith(f"{stage}.")]
    assert [key for key in keys(model) if not key.startswith(f"{stage}.")] == others


def test_a_copy_starts_as_the_model_has_the_block_start(graph):
    changed, _ = mutated(graph, Depth(on="blocks", depth=4))
    model = built(changed)
    assert model.blocks[3].conv.weight.eq(0.1).all()
    assert model.blocks[3].conv.bias.eq(1).all()
    assert not model.blocks[1].conv.bias.eq(1).all()
    assert "for block in self.blocks:\n            x = block(x)" in source(changed)


def test_a_copy_shares_nothing_but_what_the_block_shares_with_others():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.outer = nn.Linear(3, 3)
            self.blocks = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
            self.blocks[1].weight = self.outer.weight

        def forward(self, x):
            return self.blocks(self.outer(x))

    graph = converted(Tied)
    graph.example = (3,)
    changed, _ = mutated(graph, Depth(on="blocks", depth=3))
    model = built(changed, (2, 3))
    assert model.blocks[2].weight is model.outer.weight
    assert model.blocks[2].bias is not model.blocks[1].bias


def test_names_count_on_whatever_stands_before_the_number():
    graph = converted(Named)
    assert [*graph.unit("layers").children] == ["block_1", "block_2"]
    changed, _ = mutated(graph, Depth(on="layers", depth=3))
    assert children(built(changed), "layers") == ["block_1", "block_2", "block_3"]


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"block_1": Block(3), "block_2": Block(3)})

    def forward(self, x):
        for block in self.layers.values():
            x = block(x)
        return x


def test_blocks_of_what_cannot_be_read_are_dropped_and_repeated():
    for depth in (1, 3):
        changed, _ = mutated(converted(Opaque), Depth(on="blocks", depth=depth))
        assert len(built(changed).blocks) == depth


def test_what_is_no_stage_is_said_and_misfits_are_found_by_their_shapes(graph):
    with pytest.raises(Refused, match=r"layer1.0 \(Block\) is not a container of blocks"):
        mutated(graph, Depth(on="layer1.0", depth=1))
    stage = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1))
    tapered = converted(lambda: nn.Sequential(stage))
    with pytest.raises(Refused, match=r"No block of 0 can be repeated: '0' takes float32"):
        mutated(tapered, Depth(on="0", depth=3))
    tapered.example = None
    changed, _ = mutated(tapered, Depth(on="0", depth=3))
    with pytest.raises(Mismatch, match="Invalid channel dimensions"):
        propagate(changed, Spec((2, 3, 8, 8)))


def test_the_last_block_that_keeps_the_shape_is_repeated():
    stage = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 6, 1))
    changed, _ = mutated(converted(lambda: nn.Sequential(stage)), Depth(on="0", depth=5))
    assert children(built(changed), "0") == ["0", "1", "3", "4", "2"]


class Pair(nn.Module):
    """Takes two tensors, and gives two."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.a(x) + y, self.b(y)


class Pairs(nn.Module):
    """Hands two tensors on from block to block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Pair(), Pair(), Pair()])

    def forward(self, x: Tensor) -> Tensor:
        y = 2 * x
        for block in self.blocks:
            x, y = block(x, y)
        return x - y


def test_a_block_that_takes_and_gives_several_tensors_hands_them_on_in_their_order():
    graph = converted(Pairs)
    graph.example = (3,)
    x = torch.randn(2, 3)
    changed, _ = mutated(graph, Depth(on="blocks", depth=0))
    assert torch.equal(load_source(source(changed)).build()(x), x - 2 * x)
    changed, _ = mutated(graph, Depth(on="blocks", depth=1))
    model = built(changed, (2, 3))
    assert torch.allclose(model(x), model.blocks[0].a(x) + 2 * x - model.blocks[0].b(2 * x))


class Split(nn.Module):
    """Gives two tensors for one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x


class Splits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Split(), Split()])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for block in self.blocks:
            x, y = block(x)
        return x - y


def test_a_block_that_gives_more_than_it_is_given_cannot_be_passed_by():
    graph = converted(Splits)
    with pytest.raises(Refused, match=r"takes 1 values and returns 2 values; these have to match"):
        mutated(graph, Depth(on="blocks", depth=1))
