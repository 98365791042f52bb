"""Engine cgo: which trials meet in a job, and what a job carries."""

import json
import logging

import pytest
import torch
from torch import nn

from runner.engines.base import BaseEngine
from runner.engines.cgo import CgoEngine
from runner.errors import ConfigError
from runner.fusion.fuse import fuse
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.random_streams import Streams
from runner.launch import run
from runner.space.sample import generator
from runner.trial import Job, Trial

SPACE = {"_target_": "spaces.mlp.MLP"}
CLASSIFICATION = {"_target_": "runner.evaluators.classification.Classification"}
FUNCTION = {"_target_": "runner.evaluators.function.Function"}
SHAPE = (64,)


def engine(group=4, evaluator=CLASSIFICATION, **rest):
    return CgoEngine(group, SHAPE, **{"space": SPACE, "evaluator": evaluator, **rest})


def trials(made, count, **config):
    """Trials of random samples; of each name in `config` they have the values in turn."""
    found = []
    for i in range(count):
        own = {name: values[i % len(values)] for name, values in config.items()}
        sample = made.space.random(generator(0, i))
        found.append(Trial(i, sample | {n.replace("__", "."): v for n, v in own.items()}, 100 + i))
    return found


def sizes(jobs):
    return sorted(len(job.trials) for job in jobs)


def test_trials_are_grouped_and_each_is_planned_once():
    made = engine()
    given = trials(made, 10)
    jobs = list(made.plan(given))
    assert sizes(jobs) == [3, 3, 4]
    planned = {
        number: (seed, sample)
        for job in jobs
        for number, seed, sample in zip(job.trials, job.seeds, job.samples, strict=True)
    }
    assert planned == {trial.number: (trial.seed, trial.sample) for trial in given}


@pytest.mark.parametrize(("count", "slots", "expected"), [
    (8, 1, [4, 4]), (8, 2, [4, 4]), (8, 4, [2, 2, 2, 2]), (8, 8, [1] * 8), (2, 8, [1, 1]),
    (1, 1, [1]), (3, 1, [3]),
])  # fmt: skip
def test_no_slot_is_left_idle_for_a_larger_group(count, slots, expected):
    made = engine()
    assert sizes(made.plan(trials(made, count), slots)) == expected


def test_alike_models_are_neighbours():
    made = engine(group=2)
    one, other = (made.space.random(generator(0, i)) for i in (1, 4))
    assert one != other
    given = [Trial(i, [one, other][i % 2], i) for i in range(4)]
    assert {tuple(job.trials) for job in made.plan(given)} == {(0, 2), (1, 3)}


@pytest.mark.parametrize("label", [
    "evaluator__batch_size", "evaluator__epochs", "evaluator__precision", "evaluator__seed",
    "evaluator__optimizer___target_", "evaluator__augment__crop", "data__batch", "data__split",
])  # fmt: skip
def test_what_all_must_have_in_common_separates(label):
    made = engine()
    jobs = list(made.plan(trials(made, 6, **{label: [1, 2]})))
    assert sizes(jobs) == [3, 3]
    name = label.replace("__", ".")
    for job in jobs:
        assert len({sample[name] for sample in job.samples}) == 1


def test_classes_chosen_with_their_arguments_separate():
    made = engine()
    nodes = [{"_target_": f"torch.optim.{name}", "_partial_": True} for name in ("SGD", "Adam")]
    jobs = made.plan(trials(made, 4, evaluator__optimizer=[*nodes]))
    assert sizes(jobs) == [2, 2]
    rates = [{**nodes[0], "momentum": momentum} for momentum in (0.1, 0.9)]
    assert sizes(made.plan(trials(made, 4, evaluator__optimizer=rates))) == [4]


@pytest.mark.parametrize("label", [
    "evaluator__lr", "evaluator__optimizer__weight_decay", "evaluator__optimizer__betas",
    "evaluator__label_smoothing", "evaluator__schedule__warmup", "evaluator__clip_norm",
])  # fmt: skip
def test_what_may_differ_does_not(label):
    made = engine()
    assert sizes(made.plan(trials(made, 4, **{label: [0.1, 0.2]}))) == [4]


def test_a_name_that_begins_alike_is_another():
    made = engine()
    assert sizes(made.plan(trials(made, 4, evaluator__lr_min=[1, 2]))) == [2, 2]


def test_a_job_survives_json_and_its_models_run_as_one():
    made = engine()
    [job] = made.plan(trials(made, 3))
    job = Job(**json.loads(json.dumps(vars(job))))
    models, programs = [], []
    for seed, recipe in zip(job.seeds, job.recipes, strict=True):
        torch.manual_seed(seed)
        models.append(CgoEngine.build(recipe))
        programs.append(CgoEngine.programs(recipe))
    for model in models:
        model.eval()
    streams = Streams([0] * 3, torch.device("cpu"))
    expected = torch.cat([model(torch.ones(5, *SHAPE)) for model in models])
    fused = fuse(models, [p.eval for p in programs], Parameters(), streams)
    torch.testing.assert_close(fused.forward(torch.ones(5, *SHAPE)), expected)
    assert fused.launches < fused.operations


def test_a_part_of_a_job_is_a_job():
    made = engine()
    [job] = made.plan(trials(made, 4))
    assert [[*part.trials] for part in job.parts(2)] == [[*job.trials[:2]], [*job.trials[2:]]]
    for part in job.parts(4):
        assert isinstance(CgoEngine.build(part.recipes[0]), nn.Module)


def test_a_trial_alone_carries_no_program():
    made = engine()
    [job] = made.plan(trials(made, 1))
    [recipe] = job.recipes
    assert CgoEngine.programs(recipe) is None
    [base] = BaseEngine(SHAPE, space=SPACE).plan(trials(made, 1))
    assert job.recipes == base.recipes


def test_a_model_without_a_program_is_planned_all_the_same():
    made = CgoEngine(4, (3,), space={"_target_": "toy.Looks"}, trust=["toy"])
    samples = [{"n": 2}, {"n": 3}]
    jobs = list(made.plan([Trial(i, sample, i) for i, sample in enumerate(samples)]))
    assert sorted(n for job in jobs for n in job.trials) == [0, 1]
    for job in jobs:
        for recipe in job.recipes:
            assert CgoEngine.programs(recipe) is None
            assert isinstance(CgoEngine.build(recipe), nn.Module)


def test_an_evaluator_that_cannot_fuse_gets_one_trial_at_a_time_and_one_notice(tmp_path, caplog):
    made = engine(evaluator=FUNCTION)
    assert made.group == 1
    assert "runner.evaluators.function.Function" in made.notice
    assert sizes(made.plan(trials(made, 3))) == [1, 1, 1]
    assert not engine().notice
    settings = ["engine=cgo", "space=mlp", "evaluator=function", "training=inline",
                "evaluator.fn._target_=toy.no_training", "trust=[toy]", "objective.metric=score",
                "budget.trials=3"]  # fmt: skip
    with caplog.at_level(logging.WARNING):
        run(settings, tmp_path)
    [record] = [r for r in caplog.records if "cannot be fused" in r.message]
    assert "runner.evaluators.function.Function" in record.message


def test_a_group_of_none_is_refused():
    with pytest.raises(ConfigError, match=r"engine\.group is 0"):
        engine(group=0)


def test_keys_and_graphs_are_those_of_base():
    made, base = engine(), BaseEngine(SHAPE, space=SPACE)
    for trial in trials(made, 3):
        assert made.key(trial.sample) == base.key(trial.sample)
        assert str(made.graph(trial.sample)) == str(base.graph(trial.sample))
        assert made.source(trial) == base.source(trial)


def test_the_plan_of_a_group_can_be_read():
    text = engine().explain()
    assert "launches for" in text
    assert "def forward(x):" in text


def test_there_is_no_plan_of_a_group_of_one():
    assert engine(group=1).explain() == "Trials run one at a time."
    assert "cannot be fused" in engine(evaluator=FUNCTION).explain()
