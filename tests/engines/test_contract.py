"""What every engine promises: one sample is one model, however and wherever it is built."""

import ast
import json

import pytest
import torch

from runner.engines.py import PyEngine
from runner.trial import Trial, trial_seed
from runner.walk import generator

ENGINES = {"py": PyEngine}
SPACES = ["resnet.ResNet", "mlp.MLP", "mobilenet.MobileNet", "transformer.Transformer"]


@pytest.fixture(params=ENGINES)
def make(request):
    return ENGINES[request.param]


def jobs(engine, count):
    """Jobs of random samples."""
    samples = [engine.space.random(generator(0, i)) for i in range(count)]
    trials = [Trial(i, sample, trial_seed(0, i)) for i, sample in enumerate(samples)]
    return list(engine.plan(trials))


@pytest.mark.parametrize("name", SPACES)
def test_a_job_survives_json_and_gives_the_same_model_each_time(make, name):
    engine = make({"_target_": f"spaces.{name}"}, [])
    for job in jobs(engine, 3):
        recipe = json.loads(json.dumps(job.recipe))
        models = []
        for _ in range(2):
            torch.manual_seed(job.seeds[0])
            models += make.build(recipe)
        first, second = (model.state_dict() for model in models)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_all_trials_are_planned_and_each_once(make):
    engine = make({"_target_": "toy.Net"}, ["toy"])
    planned = [number for job in jobs(engine, 7) for number in job.trials]
    assert sorted(planned) == list(range(7))
    for job in jobs(engine, 7):
        assert len(job.trials) == len(job.seeds) == len(job.samples) == len(make.build(job.recipe))


def test_drawing_leaves_the_random_numbers_of_the_program_alone(make):
    engine = make({"_target_": "spaces.mlp.MLP"}, [])
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    engine.space.default()
    assert torch.equal(torch.rand(3), expected)


def test_the_source_of_a_model_builds_it(make):
    engine = make({"_target_": "spaces.mlp.MLP"}, [])
    for job in jobs(engine, 3):
        source = make.source(job.recipe, 0)
        ast.parse(source)
        names: dict = {}
        exec(source, names)
        [expected] = make.build(job.recipe)
        shapes = {key: value.shape for key, value in names["build"]().state_dict().items()}
        assert shapes == {key: value.shape for key, value in expected.state_dict().items()}
