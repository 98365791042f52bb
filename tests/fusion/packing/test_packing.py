"""Packed tensors: each model has a part, with the memory layout that it had alone."""

from typing import Any

import pytest
import torch
from torch import nn

from runner.fusion.packing.packing import pack, unpack


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mode", ["cat", "stack"])
def test_own_tensors_are_parts_of_the_packed_one(mode: Any, layout: torch.memory_format) -> None:
    modules = [nn.Conv2d(3, 4, 3).to(memory_format=layout) for _ in range(2)]
    before = [module.weight.detach().clone() for module in modules]
    packed = pack([(i, module.weight) for i, module in enumerate(modules)], mode)
    assert packed.tensor.shape == ((8, 3, 3, 3) if mode == "cat" else (2, 4, 3, 3, 3))
    if mode == "cat":
        assert packed.tensor.is_contiguous(memory_format=layout)
    for module, old, part in zip(modules, before, packed.parts(packed.tensor), strict=True):
        assert torch.equal(module.weight, old)
        assert module.weight.data_ptr() == part.data_ptr()
        assert module.weight.is_contiguous(memory_format=layout)
        assert module.weight.grad.stride() == module.weight.stride()
    with torch.no_grad():
        packed.tensor.fill_(7.0)
    assert modules[1].weight.eq(7.0).all()
    unpack(packed)
    with torch.no_grad():
        packed.tensor.fill_(8.0)
    assert modules[1].weight.eq(7.0).all()
    assert modules[1].weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("mode", ["cat", "stack"])
@pytest.mark.parametrize("shape", [(1, 8, 3), (8, 8, 3, 1, 1, 1, 8), (3, 8, 1)])
def test_a_dimension_of_one_keeps_its_place_in_memory(mode: Any, shape: tuple[int, ...]) -> None:
    def convolution() -> nn.Module:
        return nn.Conv2d(*shape).to(memory_format=torch.channels_last)

    modules = [convolution() for _ in range(2)]
    x = torch.randn(2, shape[0], 6, 6)
    wanted = [(module.weight.stride(), module(x).stride()) for module in modules]
    packed = pack([(i, module.weight) for i, module in enumerate(modules)], mode)
    assert [(module.weight.stride(), module(x).stride()) for module in modules] == wanted
    unpack(packed)
    assert [(module.weight.stride(), module(x).stride()) for module in modules] == wanted


def test_buffers_are_packed_without_gradients() -> None:
    norms = [nn.BatchNorm2d(3) for _ in range(2)]
    packed = pack([(i, norm.num_batches_tracked) for i, norm in enumerate(norms)], "stack")
    means = pack([(i, norm.running_mean) for i, norm in enumerate(norms)], "cat")
    norms[1](torch.ones(2, 3, 4, 4))
    assert packed.tensor.tolist() == [0, 1]
    torch.testing.assert_close(means.tensor, torch.tensor([0.0, 0, 0, 0.1, 0.1, 0.1]))
    assert not isinstance(means.tensor, nn.Parameter)
    assert means.tensor.grad is None


def test_unequal_tensors_are_not_packed() -> None:
    with pytest.raises(ValueError, match="cannot be packed"):
        pack([(0, torch.ones(3)), (1, torch.ones(4))], "cat")
