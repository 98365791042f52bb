"""A Cell is the same on all engines, wherever it sits and however it is called."""

import inspect
import json

import celling
import pytest
import torch

from runner import nn
from runner.engines.base import BaseEngine
from runner.engines.cgo import CgoEngine
from runner.engines.py import PyEngine
from runner.errors import Refused
from runner.space.sample import generator
from runner.trial import Trial

SHAPE = (celling.WIDTH,)
MODELS = [name for name, cls in inspect.getmembers(celling, inspect.isclass)
          if issubclass(cls, celling._Place) and not name.startswith("_")]  # fmt: skip


def engines(name, **given):
    node = {"_target_": f"celling.{name}", **given}
    return [PyEngine(space=node, trust=["celling"]), BaseEngine(space=node, trust=["celling"]),
            CgoEngine(2, SHAPE, space=node, trust=["celling"])]  # fmt: skip


def built(engine, sample):
    [job] = engine.plan([Trial(0, sample, 7)])
    torch.manual_seed(7)
    [recipe] = json.loads(json.dumps(job.recipes))
    return engine.build(recipe)


@pytest.mark.parametrize("name", MODELS)
def test_a_cell_computes_the_same_wherever_it_sits_and_however_it_is_called(name):
    py, *others = engines(name)
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    for sample in [py.space.default(), *(py.space.random(generator(1, i)) for i in range(3))]:
        right = built(py, sample)
        for engine in others:
            ours = built(engine, sample)
            ours.load_state_dict(right.state_dict())
            torch.testing.assert_close(ours(x), right(x))
            assert ours(x).shape[0] == 3


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("number", [1, 3])
def test_a_cell_takes_as_many_inputs_as_it_has(number, kept):
    for engine in engines("_Given", number=number, kept=kept):
        with pytest.raises((ValueError, Refused), match=r"unpack|called with \d inputs; it has 2"):
            built(engine, engine.space.default())(torch.randn(3, *SHAPE))


def test_an_open_model_runs_its_default_one(name="Nested"):
    with nn.symbolic():
        model = getattr(celling, name)()
    assert model(torch.randn(3, *SHAPE)).shape[0] == 3
