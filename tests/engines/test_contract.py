"""What every engine promises: one sample is one model, however and wherever it is built."""

import ast
import importlib
import json
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.engines.base import BaseEngine
from runner.engines.cgo import CgoEngine
from runner.engines.py import PyEngine
from runner.graph import convert, generate, recording
from runner.space.sample import generator
from runner.trial import Trial, trial_seed

SPACES = {
    "resnet.ResNet": (1, 8, 8),
    "mlp.MLP": (64,),
    "mobilenet.MobileNet": (1, 8, 8),
    "cell.CellNet": (1, 8, 8),
    "transformer.Transformer": (1, 8, 8),
}


class Cgo:
    """An engine made from its space alone, as the others are."""

    build = CgoEngine.build

    def __new__(cls, *, space, **given):
        shape = SPACES.get(space["_target_"].removeprefix("spaces."), (3,))
        return CgoEngine(4, shape, space=space, **given)


ENGINES = {"py": PyEngine, "base": BaseEngine, "cgo": Cgo}
SAMPLES = 30
# Its gates are made before the blocks that are given them, and so draw their numbers first; source
# makes everything where it stands.
OTHER_ORDER = {"mobilenet.MobileNet"}


@pytest.fixture(params=ENGINES)
def make(request):
    return ENGINES[request.param]


def node(name):
    return {"_target_": f"spaces.{name}"}


def jobs(engine, count):
    """Jobs of random samples."""
    samples = [engine.space.random(generator(0, i)) for i in range(count)]
    trials = [Trial(i, sample, trial_seed(0, i)) for i, sample in enumerate(samples)]
    return list(engine.plan(trials))


def built(engine, sample):
    """The model of a sample, seeded, by way of its job."""
    [job] = engine.plan([Trial(0, sample, 7)])
    torch.manual_seed(7)
    [recipe] = json.loads(json.dumps(job.recipes))
    return engine.build(recipe)


def assert_alike(ours, theirs, shape, *, starts=True):
    """Two models have the same names, shapes, first values, and what they give."""
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, value in ours.state_dict().items():
        assert value.shape == state[name].shape, name
        assert not starts or torch.equal(value, state[name]), name
    ours.load_state_dict(state)
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    for training in (False, True):
        outputs = []
        for model in (ours.train(training), theirs.train(training)):
            torch.manual_seed(3)
            outputs.append(model(x))
        torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SPACES)
def test_a_job_survives_json_and_gives_the_same_model_each_time(make, name):
    engine = make(space=node(name))
    for job in jobs(engine, 3):
        for seed, recipe in zip(job.seeds, json.loads(json.dumps(job.recipes)), strict=True):
            models = []
            for _ in range(2):
                torch.manual_seed(seed)
                models.append(make.build(recipe))
            first, second = (model.state_dict() for model in models)
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first)


def test_all_trials_are_planned_and_each_once(make):
    engine = make(space={"_target_": "toy.Net"}, trust=["toy"])
    planned = [number for job in jobs(engine, 7) for number in job.trials]
    assert sorted(planned) == list(range(7))
    for job in jobs(engine, 7):
        assert len(job.trials) == len(job.seeds) == len(job.samples) == len(job.recipes)


def test_planning_leaves_the_random_numbers_of_the_program_alone(make):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    engine = make(space=node("transformer.Transformer"))
    sample = engine.space.default()
    engine.key(sample)
    list(engine.plan([Trial(0, sample, 0)]))
    assert torch.equal(torch.rand(3), expected)


def test_the_source_of_a_model_builds_it(make):
    engine = make(space=node("mlp.MLP"))
    for job in jobs(engine, 3):
        source = engine.source(Trial(job.number, job.samples[0], job.seeds[0])).text
        ast.parse(source)
        names: dict = {}
        exec(source, names)
        expected = make.build(job.recipes[0])
        shapes = {key: value.shape for key, value in names["build"]().state_dict().items()}
        assert shapes == {key: value.shape for key, value in expected.state_dict().items()}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SPACES)
def test_engines_agree_on_every_sample(name):
    """Names, shapes, first values from one seed, outputs in both modes; asked for the same."""
    engines = [engine(space=node(name)) for engine in (BaseEngine, PyEngine)]
    for i in range(SAMPLES):
        sample = engines[1].space.random(generator(1, i))
        assert engines[0].space.contains(sample)
        ours, theirs = (built(engine, sample) for engine in engines)
        assert_alike(ours, theirs, SPACES[name], starts=name not in OTHER_ORDER)


RANDOM = settings(deadline=None, derandomize=True, database=None,
                  suppress_health_check=[HealthCheck.too_slow])  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(4))
@settings(RANDOM, max_examples=100)
@given(seed=st.integers(0, 10**6), draw=st.integers(0, 10**6), eager=st.booleans())
def test_engines_agree_on_random_spaces(part, seed, draw, eager):
    """Candidates that are given as modules draw their numbers in Python even if they are not
    chosen; source makes what is chosen, so that first values agree where none are."""
    space = {"_target_": "random_spaces.RandomSpace", "seed": 4 * seed + part, "eager": eager}
    engines = [e(space=space, trust=["random_spaces"]) for e in (BaseEngine, PyEngine)]
    sample = engines[1].space.random(generator(draw))
    ours, theirs = (built(engine, sample) for engine in engines)
    assert_alike(ours, theirs, (4,), starts=not eager)


@pytest.mark.parametrize("name", SPACES)
def test_exported_source_converts_to_itself(name, tmp_path, monkeypatch):
    """export -> import -> export is a fixed point."""
    monkeypatch.syspath_prepend(tmp_path)
    engine = BaseEngine(space=node(name))
    for i in range(3):
        sample = engine.space.random(generator(2, i))
        text = engine.source(Trial(0, sample, 0), standalone=True).text
        module = f"exported_{name.replace('.', '_')}_{i}"
        (tmp_path / f"{module}.py").write_text(text)
        with recording():
            model = importlib.import_module(module).build()
        graph = convert(model)
        assert not graph.notes
        assert generate(graph, standalone=True) == text


def test_a_trial_is_told_apart_by_its_key(make):
    engine = make(space=node("mlp.MLP"))
    trials = [Trial(i, engine.space.random(generator(0, i)), 0) for i in range(6)]
    keys = {engine.key(trial.sample) for trial in trials}
    assert len(keys) == len({str(replace(t, number=0).sample) for t in trials})


def test_priors_weigh_draws_alike_on_all_engines():
    drawn = {}
    for name, make in ENGINES.items():
        space = make(space={"_target_": "toy.Weighed"}, trust=["toy"]).space
        drawn[name] = [space.random(generator(0, i)) for i in range(40)]
    assert drawn["py"] == drawn["base"] == drawn["cgo"]
    assert {sample["first"] for sample in drawn["py"]} == {"b"}
    widths = [sample["width"] for sample in drawn["py"]]
    assert {*widths} == {3, 5} and widths.count(5) > 20
