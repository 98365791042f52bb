"""Measures in a search: refusals before training, on every engine, and after a resume."""

import pytest
import torch
from searches import Search

import runner
from runner import parts
from runner.config.compose import compose_config, freed
from runner.config.settings import settings_from
from runner.errors import Refused
from runner.goals import Goals
from runner.measuring import Measures, needed
from runner.space.sample import generator
from runner.store import read
from runner.trial import State

MLP = ["space=mlp", "training=inline", "evaluator.epochs=1", "export.top=1", "budget.trials=5"]


def settings(*overrides):
    given = [*MLP, *overrides]
    return settings_from(compose_config(given), freed(given))


def fates(run):
    return [(t.number, t.sample, t.state, t.metrics.get("params"), t.refused) for t in run.trials]


def test_what_is_needed_is_what_is_named():
    assert [*needed(settings())] == []
    assert [*needed(settings("measures=[size]"))] == ["size"]
    found = needed(settings("objective={metric: latency, mode: min}", "constraints=[flops < 1G]"))
    assert [*found] == ["flops", "latency"]


def test_a_figure_that_breaks_a_constraint_refuses_the_model():
    goals = Goals.of({"metric": "x", "mode": "max"}, ["params <= 10"])
    measures = Measures({"params": {"_target_": "runner.measures.params.ParameterCount"}},
                        goals.constraints)  # fmt: skip
    model, make = torch.nn.Linear(3, 2), lambda: torch.nn.Linear(3, 2)
    assert measures.of(model, make, torch.empty, torch.device("cpu"), {})["params"] == 8
    with pytest.raises(Refused, match="params is 15, but it must be <= 10") as refused:
        measures.of(torch.nn.Linear(4, 3), make, torch.empty, torch.device("cpu"), {})
    assert refused.value.metrics == {"params": 15}


@pytest.mark.parametrize("engine", ["py", "base", "cgo"])
def test_a_constraint_on_parameters_refuses_before_training_on_every_engine(engine, here):
    run = runner.run([*MLP, f"engine={engine}", "strategy=random", "constraints=[params <= 8k]"])
    own = [t for t in run.trials if t.duplicate_of is None]
    assert sum(not t.refused for t in own) == 5
    for trial in own:
        assert trial.refused == (trial.metrics["params"] > 8000)
        assert trial.refused == (trial.started_at is None), "the driver refused it"
        assert (trial.violation > 0) == trial.refused


@pytest.mark.sampled(4)
@pytest.mark.parametrize("engine", ["py", "base"])
@pytest.mark.parametrize("space", ["mlp", "resnet", "cell", "mobilenet", "transformer"])
def test_what_a_walk_tells_of_a_model_is_what_the_built_one_has(space, engine):
    given = [f"space={space}", f"engine={engine}", "constraints=[params >= 1, size >= 1]"]
    checked = settings_from(compose_config(given), freed(given))
    made = parts.make_engine(checked)
    early = parts.make_early_measures(checked, made)
    for number in range(4):
        sample = made.space.random(generator(0, number))
        assert made.walked.figures(sample).keys() == {"params", "size"}
        found = early.figures(sample, f"drawn {number}")
        made.key(sample)
        model = made.build(made.recipe_of(sample))
        tensors = [*model.parameters(), *model.buffers()]
        assert found["params"] == sum(p.numel() for p in model.parameters())
        assert found["size"] == sum(t.numel() * t.element_size() for t in tensors)


def test_all_engines_draw_and_refuse_the_same(here):
    usual = [*MLP, "strategy=random", "constraints=[params <= 8k, flops <= 20k]"]
    found = [
        runner.run([*usual, f"engine={e}", f"hydra.run.dir={e}"]) for e in ("py", "base", "cgo")
    ]
    assert fates(found[0]) == fates(found[1]) == fates(found[2])
    assert any(trial.refused for trial in found[0].trials)


@pytest.mark.parametrize("engine", ["py", "cgo"])
def test_a_worker_refuses_what_only_it_can_measure(engine, here):
    """One of a group is refused, and the others are trained."""
    run = runner.run([
        *MLP, f"engine={engine}", "strategy=random", "trust=[toy]", "constraints=[layers <= 2]",
        "+measure.layers={_target_: runner.measures.function.Function, "
        "fn: {_target_: toy.depth_of, _partial_: true}}",
    ])  # fmt: skip
    own = [t for t in run.trials if t.duplicate_of is None]
    assert {t.refused for t in own} == {True, False}
    for trial in own:
        assert trial.metrics["layers"] == int(trial.sample["depth"]) + 1
        assert trial.refused == (int(trial.sample["depth"]) > 1)
        assert trial.refused or trial.state is State.FINISHED


def test_a_run_with_constraints_goes_on_as_it_would_have(here):
    usual = [*MLP, "strategy=tpe", "strategy.sampler.n_startup_trials=2",
             "constraints=[params <= 8k]"]  # fmt: skip
    whole = runner.run([*usual, "hydra.run.dir=whole"])
    part = [*usual, "hydra.run.dir=part"]
    runner.run([*part, "budget.trials=2"])
    runner.run(["resume=part", "budget.trials=5"])
    assert fates(runner.load("part")) == fates(whole)


def test_what_is_broken_after_training_ranks_last(here):
    run = runner.run([*MLP, "strategy=random", "constraints=[val/accuracy >= 0.5, size <= 1GB]"])
    scored = [t for t in run.trials if t.scored]
    assert all((t.violation > 0) == (t.metrics["val/accuracy"] < 0.5) for t in scored)
    ranked = [t.feasible for t in run.top(9)]
    assert ranked == sorted(ranked, reverse=True)


def test_the_driver_tells_the_worker_what_it_measured(tmp_path):
    search = Search(tmp_path / "run")
    search.measure = lambda sample, key: {"told": 7.0}
    search.run(3)
    assert all(t.metrics["told"] == 7.0 for t in read(search.folder).trials)
