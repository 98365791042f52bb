"""What a choice of a value gives can be called and read alike on all engines."""

import inspect
import json

import calling
import pytest
import torch

from runner import nn
from runner.engines.base import BaseEngine
from runner.engines.cgo import CgoEngine
from runner.engines.py import PyEngine
from runner.errors import GraphError
from runner.trial import Trial

SHAPE = (calling.WIDTH,)
MODELS = [name for name, cls in inspect.getmembers(calling, inspect.isclass)
          if issubclass(cls, calling._Model) and not name.startswith("_")]  # fmt: skip


def built(engine, sample):
    [job] = engine.plan([Trial(0, sample, 7)])
    torch.manual_seed(7)
    [recipe] = json.loads(json.dumps(job.recipes))
    return engine.build(recipe)


def outputs(model, x):
    found = []
    for training in (False, True):
        torch.manual_seed(3)
        found.append(model.train(training)(x))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_value_is_called_and_read_alike_on_all_engines(name):
    node = {"_target_": f"calling.{name}"}
    py, base = (kind(space=node, trust=["calling"]) for kind in (PyEngine, BaseEngine))
    cgo = CgoEngine(2, SHAPE, space=node, trust=["calling"])
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    results = []
    for sample in [*py.space.enumerate(resolution=3)][:4]:
        right = built(py, sample)
        results.append(outputs(right, x)[0])
        for engine in (base, cgo):
            ours = built(engine, sample)
            ours.load_state_dict(right.state_dict())
            torch.testing.assert_close(outputs(ours, x), outputs(right, x))
    assert len({str(result) for result in results}) > 1 or name == "ByFunctional"


@pytest.mark.parametrize("name", MODELS)
def test_without_a_build_and_left_open_it_is_the_default(name):
    make = getattr(calling, name)
    with nn.draw(lambda choice: choice.default):
        right = make()
    models = [make()]
    if name != "Needed":  # whose Python needs the value
        with nn.symbolic():
            models.append(make())
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    for model in models:
        model.load_state_dict(right.state_dict())
        torch.testing.assert_close(outputs(model, x), outputs(right, x))


@pytest.mark.parametrize("shape", [None, SHAPE], ids=["read", "validated"])
def test_a_choice_that_only_a_closure_holds_is_refused_by_torchscript(shape):
    node = {"_target_": "calling._Captured"}
    engine = BaseEngine(shape, space=node, trust=["calling"], frontend="torchscript")
    for sample in engine.space.enumerate():
        with pytest.raises(GraphError, match=r"makes a symbolic choice\. Pass the choice to the"):
            built(engine, sample)


@pytest.mark.parametrize("shape", [None, SHAPE], ids=["read", "validated"])
def test_a_choice_that_only_a_closure_holds_is_read_in_python(shape):
    node = {"_target_": "calling._Captured"}
    py = PyEngine(space=node, trust=["calling"])
    engine = BaseEngine(shape, space=node, trust=["calling"])
    x = torch.randn(3, *SHAPE)
    for sample in py.space.enumerate():
        right, ours = built(py, sample), built(engine, sample)
        ours.load_state_dict(right.state_dict())
        torch.testing.assert_close(outputs(ours, x), outputs(right, x))
