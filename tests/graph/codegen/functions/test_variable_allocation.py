"""No variable has the name that is set to what is not needed."""

import ast

import pytest
import torch
from torch import Tensor, nn

from runner.graph import convert, generate, load_source

X = torch.arange(16.0).reshape(4, 4).flip(0)


class OwnMethod(nn.Module):
    def same(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x, y):
        _, places = self.same(x).scatter(1, y.sort(1)[1], y.sort(1)[0] * 2).sort(1)
        return places


class Underscore(nn.Module):
    def forward(self, x, y):
        _ = x * 2
        _values, place = y.max(1)
        return _ + place


class Given(nn.Module):
    def forward(self, _, y):
        _values, place = y.max(1)
        return _ + place


class InLoop(nn.Module):
    def forward(self, x, y):
        _ = x * 2
        for _i in range(3):
            _ = _ + y.max(1)[1]
        return _


@pytest.mark.parametrize("cls", [OwnMethod, Underscore, Given, InLoop])
def test_what_is_not_needed_takes_the_place_of_nothing(cls):
    text = generate(convert(cls()), standalone=True)
    assert torch.equal(load_source(text, {}).build()(X, X.t()), cls()(X, X.t())), text
    read = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)
            and isinstance(n.ctx, ast.Load)}  # fmt: skip
    assert ("_" in read) is (cls is Given)
