"""Primitives that are no classes can be asked about like classes, and say that they are none."""

import copy
import inspect
import pickle
import types

import pytest
import torch

from runner import nn
from runner.errors import SpaceError
from runner.nn.values.primitive import Primitive, primitive

NAMES = ["LayerChoice", "InputChoice", "Repeat", "ValueChoice", "IntChoice", "FloatChoice"]


class Initialized(torch.nn.Module):
    """Sets its weights in the loop that every model has, and asks about primitives in it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.LayerChoice([nn.Linear(4, 4), nn.Linear(4, 4, bias=False)], label="conv")
        self.more = nn.Repeat(lambda: nn.Linear(4, 4), (1, 2), label="more")
        self.cell = nn.Cell([nn.Identity(), nn.Tanh()], 1, label="cell")
        self.input = nn.InputChoice(2, label="input")
        self.wide = nn.ValueChoice([1, 2], label="wide")
        self.found = []
        for module in self.modules():
            if isinstance(module, (nn.LayerChoice, nn.Repeat, nn.Linear)):
                torch.nn.init.ones_(module.weight)
            for name in ("InputChoice", "Cell", "Placeholder", "ValueChoice"):
                if isinstance(module, getattr(nn, name)):
                    self.found.append(name)

    def forward(self, x):
        return self.input([self.more(self.conv(x)), self.cell(x)])


def built_symbolic() -> torch.nn.Module:
    with nn.symbolic():
        return Initialized()


@pytest.mark.parametrize("build", [Initialized, built_symbolic])
def test_a_loop_over_modules_may_ask_about_primitives(build):
    model = build()
    assert model.found == ["Cell", "InputChoice"]
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    assert len(linears) == (2 if build is Initialized else 4)
    assert all(bool((linear.weight == 1).all()) for linear in linears)


@pytest.mark.parametrize("name", NAMES)
def test_a_primitive_that_returns_what_was_chosen_cannot_be_subclassed(name):
    with pytest.raises(SpaceError, match=rf"nn\.{name} cannot be subclassed.*write a function"):
        types.resolve_bases((getattr(nn, name),))  # as a class statement does


@pytest.mark.parametrize("name", ["LayerChoice", "InputChoice", "Repeat", "IntChoice"])
def test_a_primitive_is_documented_copied_and_pickled_as_the_function_it_is(name):
    found = getattr(nn, name)
    assert found.__doc__ and found.__name__ == name
    assert "label" in inspect.signature(found).parameters
    assert copy.deepcopy(found) is found and pickle.loads(pickle.dumps(found)) is found


def test_only_instances_that_belong_to_a_primitive_are_its_instances():
    class Made:
        pass

    @primitive(Made)
    def make(n):
        return Made()

    assert isinstance(make, Primitive)
    assert isinstance(make(1), make) and not isinstance(3, make)
    assert issubclass(Made, make) and not issubclass(int, make)
    assert isinstance(make(1), (int, make))
