"""Spaces of a model's constructor: what a model without shapes is told, and that it helps."""

import re

import pytest
import torch

from runner import nn
from runner.config.mutator_entries import written_out
from runner.engines.base import BaseEngine
from runner.engines.cgo import CgoEngine
from runner.engines.model_space import ModelSpace
from runner.engines.py import PyEngine
from runner.errors import ConfigError
from runner.space.sample import DrawError
from runner.trial import Trial


class Lazy(nn.Module):
    """Strides differ, so the size behind them does; a lazy layer takes what comes."""

    def __init__(self) -> None:
        super().__init__()
        strides = [nn.Conv2d(1, 8, 3, 1), nn.Conv2d(1, 8, 3, 2)]
        self.conv = nn.LayerChoice(strides, label="conv")
        self.act = nn.ReLU()
        self.lazy = nn.LazyLinear(16)
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.norm(self.lazy(self.act(self.conv(x)).flatten(1))).relu())


class Advised(Lazy):
    """Follows the advice."""

    def __init__(self) -> None:
        super().__init__()
        self(torch.zeros(2, 1, 8, 8))


class Foreign(torch.nn.Module):
    """Somebody else's model without shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.LazyConv2d(8, 3)
        self.norm = torch.nn.LazyBatchNorm2d()
        self.act = torch.nn.ReLU()
        self.head = torch.nn.LazyLinear(10)

    def forward(self, x):
        return self.head(self.act(self.norm(self.conv(x))).flatten(1))


def foreign() -> torch.nn.Module:
    """Follows the advice for a model of others."""
    model = Foreign()
    model(torch.zeros(2, 1, 8, 8))
    return model


ENGINES = {
    "py": PyEngine,
    "base": lambda **given: BaseEngine([1, 8, 8], **given),
    "cgo": lambda **given: CgoEngine(4, [1, 8, 8], **given),
}


def engine(name: str, model: object, **given):
    return ENGINES[name](
        space={"_target_": f"{__name__}.{model.__name__}"}, trust=[__name__], **given
    )


def built(made, sample) -> torch.nn.Module:
    made.key(sample)
    [job] = made.plan([Trial(0, sample, 0)])
    return made.build(job.recipes[0])


@pytest.mark.parametrize("model", [Lazy, Foreign])
@pytest.mark.parametrize("name", ENGINES)
def test_a_model_without_shapes_is_told_what_to_do(name, model):
    with pytest.raises(ConfigError) as error:
        engine(name, model).space.default()
    assert "(Lazy" in str(error.value) and "\n" not in str(error.value)
    assert re.search(r"self\(torch\.zeros\(2, 1, 8, 8\)\)", str(error.value))


def test_the_advice_names_the_shape_of_the_data():
    made = BaseEngine([3, 32, 32], space={"_target_": f"{__name__}.Lazy"}, trust=[__name__])
    with pytest.raises(ConfigError, match=r"self\(torch\.zeros\(2, 3, 32, 32\)\)"):
        made.space.default()


@pytest.mark.parametrize("name", ENGINES)
def test_the_advice_helps(name):
    made = engine(name, Advised)
    for sample in made.space.enumerate():
        model = built(made, dict(sample))
        assert model.lazy.in_features == (8 * 36 if sample["conv"] == 0 else 8 * 9)
        assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("name", ENGINES)
def test_the_advice_helps_with_a_model_of_others(name):
    assert built(engine(name, foreign), {})(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_the_advice_helps_where_the_model_is_mutated():
    made = BaseEngine(
        [1, 8, 8],
        space={"_target_": "spaces.mutate.existing", "model": {"_target_": f"{__name__}.foreign"}},
        mutators=written_out([{"on": "act", "replace": ["ReLU", "GELU"]}]),
        input=[1, 8, 8],
        trust=[__name__],
    )
    found = [built(made, dict(sample)).act for sample in made.space.enumerate()]
    assert [type(act).__name__ for act in found] == ["ReLU", "GELU"]


class Initialized(nn.Module):
    """Sets weights as models do, and keeps a value that is read."""

    def __init__(self, dimensions: int = 2, nonlinearity: str = "relu") -> None:
        super().__init__()
        self.rate = torch.linspace(0, 1, nn.ValueChoice([2, 3], label="n"))[0].item()
        self.weight = torch.nn.Parameter(torch.empty((4,) * dimensions))
        init = torch.nn.init
        for fill in (init.uniform_, init.normal_, init.zeros_, init.ones_, init.trunc_normal_):
            assert fill(self.weight) is self.weight
        init.constant_(val=3.0, tensor=self.weight)
        init.kaiming_uniform_(self.weight, nonlinearity=nonlinearity)
        init.xavier_normal_(self.weight)
        self.device = self.weight.device.type
        DEVICES.append(self.device)


DEVICES: list[str] = []


def test_initial_values_are_not_computed_in_a_walk():
    DEVICES.clear()
    engine("py", Initialized).space.describe()
    assert {*DEVICES} == {"meta"}


@pytest.mark.parametrize("wrong", [{"dimensions": 1}, {"nonlinearity": "rellu"}])
def test_arguments_that_cannot_initialize_fail_in_a_walk_as_in_a_trial(wrong):
    node = {"_target_": f"{__name__}.Initialized", **wrong}
    with pytest.raises(DrawError, match="ValueError"):
        PyEngine(space=node, trust=[__name__]).space.default()
    with pytest.raises(ValueError):
        Initialized(**wrong)


KEPT = {}


def kept() -> torch.nn.Module:
    """Keeps its model, whose choice is asked once."""
    return KEPT.setdefault("model", Advised())


@pytest.mark.parametrize("engine", [PyEngine, BaseEngine])
def test_a_function_that_returns_the_same_model_twice_is_refused(engine):
    KEPT.clear()
    space = engine(space={"_target_": f"{__name__}.kept"}, trust=[__name__]).space
    assert space.default() == {"conv": 0}
    with pytest.raises(ConfigError, match=r"kept returns the same model each time; each trial"):
        space.default()
    fresh = engine(space={"_target_": f"{__name__}.Advised"}, trust=[__name__]).space
    assert [fresh.default() for _ in range(3)] == [{"conv": 0}] * 3


def test_a_sample_of_a_model_that_broke_early_is_not_refused():
    space = PyEngine(space={"_target_": f"{__name__}.Advised"}, trust=[__name__]).space
    space.check({})  # its trial reports why


def test_who_chooses_may_compute_with_tensors_that_have_values():
    """The model is built on the meta device, around the question."""

    def choose(choice):
        weights = torch.empty(2).fill_(1.0) @ torch.ones(2)
        assert weights.device.type == "cpu" and weights.item() == 2.0
        return choice.default

    space = ModelSpace({"_target_": "toy.Net"}, ["toy"])
    assert space.draw(choose) == space.default()
