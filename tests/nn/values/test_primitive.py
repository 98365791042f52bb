"""Primitives that are no classes can be asked about like classes, and say that they are none."""

import copy
import inspect
import pickle
import types

import pytest
import torch

from runner import nn
from runner.engines.base import BaseEngine
from runner.errors import SpaceError
from runner.nn.values.primitive import Primitive, primitive


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


@pytest.mark.parametrize("name", ["ValueChoice", "IntChoice", "FloatChoice"])
def test_a_primitive_that_returns_a_value_cannot_be_subclassed(name):
    with pytest.raises(SpaceError, match=rf"nn\.{name} cannot be subclassed.*write a function"):
        types.resolve_bases((getattr(nn, name),))  # as a class statement does


@pytest.mark.parametrize("name", ["LayerChoice", "InputChoice", "Repeat", "IntChoice"])
def test_a_primitive_is_documented_copied_and_pickled_as_the_function_it_is(name):
    found = getattr(nn, name)
    assert found.__doc__ and found.__name__ == name
    assert "label" in inspect.signature(found).parameters
    assert copy.deepcopy(found) is found and pickle.loads(pickle.dumps(found)) is found


class ConvOrPool(nn.LayerChoice):
    """A choice of layers that a user gives a class of its own."""

    def __init__(self, channels: int, label: str) -> None:
        layers = {"conv": nn.Conv2d(channels, channels, 3, padding=1), "same": nn.Identity()}
        super().__init__(layers, label=label)

    def forward(self, x):
        return super().forward(x) * 2


class Sums(nn.InputChoice):
    def __init__(self) -> None:
        super().__init__(2, 1, label="input")


class Stack(nn.Repeat):
    def __init__(self) -> None:
        super().__init__(lambda i: nn.Conv2d(2, 2, 1), (1, 3), label="depth")


class OfClasses(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op, self.sums, self.stack = ConvOrPool(2, "op"), Sums(), Stack()

    def forward(self, x):
        return self.sums([self.stack(self.op(x)), x])


SAMPLES = [{"op": "conv", "input": [0], "depth": 3}, {"op": "same", "input": [1], "depth": 1}]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_primitive_of_modules_can_be_subclassed(sample):
    with nn.sample(sample, strict=True):
        model = OfClasses()
    x = torch.randn(1, 2, 4, 4)
    inner = nn.Conv2d if sample["op"] == "conv" else nn.Identity
    assert isinstance(model.op.chosen, inner) and len(model.stack.blocks) == sample["depth"]
    assert torch.equal(model.op(x), model.op.chosen(x) * 2)
    assert torch.equal(model(x), [model.stack(model.op(x)), x][sample["input"][0]])
    kinds = [nn.LayerChoice, nn.InputChoice, nn.Repeat]
    for module, kind in zip((model.op, model.sums, model.stack), kinds, strict=True):
        assert isinstance(module, kind) and issubclass(type(module), kind)
        assert [isinstance(module, other) for other in kinds].count(True) == 1
    assert model.op.names == ["conv", "same"] and len(model.op) == 2


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_subclass_of_a_primitive_is_converted_to_a_graph(sample):
    node = {"_target_": f"{__name__}.OfClasses"}
    engine = BaseEngine((2, 4, 4), space=node, trust=[__name__])
    x = torch.randn(1, 2, 4, 4)
    torch.manual_seed(0)
    found = engine.build(engine.recipe_of(sample))(x)
    torch.manual_seed(0)
    with nn.sample(sample):
        model = OfClasses()
    assert torch.allclose(found, model(x), atol=1e-6)


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
