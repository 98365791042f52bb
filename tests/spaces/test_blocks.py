"""Blocks to be inserted: at first they change nothing, and all of them can learn."""

import pytest
import torch

from runner.graph import check_conversion, recording
from spaces.blocks import Adapter, SqueezeExcite

CASES = [(SqueezeExcite, 6, (2, 6, 5, 7)), (Adapter, 6, (2, 9, 6)), (Adapter, 3, (4, 3))]
cases = pytest.mark.parametrize(("cls", "width", "shape"), CASES)


@cases
def test_first_values_give_exactly_what_is_given(cls, width, shape):
    x = torch.randn(shape)
    assert cls(width)(x).equal(x)
    assert cls(width, ratio=0.01)(x).equal(x)


@cases
def test_it_learns_to_change_something(cls, width, shape):
    torch.manual_seed(0)
    block, x = cls(width, ratio=1.0), torch.randn(shape)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (block(x) - 2 * x).square().mean().backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())
    assert not block(x).equal(x)


@cases
def test_it_is_converted_in_full(cls, width, shape):
    with recording():
        block = cls(width)
    report = check_conversion(block, torch.randn(shape))
    report.raise_if_wrong()
    assert report.grades["graph"] == 1
