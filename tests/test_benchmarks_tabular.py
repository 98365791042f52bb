"""The harness of `benchmarks/strategies.py` gives the history of the loop itself."""

import sys
from pathlib import Path

import pytest
from tabulated import write_table

import runner
from runner.goals import Goals, Objective

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import strategies as bench  # noqa: E402
import tabular  # noqa: E402

NAMES = bench.strategies()
USUAL = ["export.top=0", "hydra.run.dir=run"]
SMALL = {"evolution": ["strategy.population_size=8", "strategy.sample_size=3"]}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "table.csv")


def history(trials):
    return [(t.number, t.sample, t.seed, t.state, dict(t.metrics), t.scores, t.duplicate_of,
             t.parent, t.key, t.refused) for t in trials]  # fmt: skip


def harnessed(benchmark, run, evaluations, **rest):
    strategy = tabular.make_strategy(run.settings.strategy, benchmark, run.settings.seed, run.goals)
    return tabular.drive(strategy, benchmark, seed=run.settings.seed, evaluations=evaluations,
                         goals=run.goals, **rest)  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", NAMES)
def test_the_harness_has_the_history_of_a_search_of_cells(name, file, here):
    count = 12 if name in bench.SLOW else 30
    given = ["experiment=nasbench201", f"evaluator.table.path={file}", f"budget.trials={count}"]
    run = runner.run([*given, f"strategy={name}", "seed=3", *SMALL.get(name, []), *USUAL])
    assert history(harnessed(tabular.cells(file), run, count)) == history(run.trials)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["random", "evolution", "tpe"])
@pytest.mark.parametrize("protocol", ["paper", "validation"])
def test_the_harness_has_the_history_of_a_search_of_graphs(name, protocol, here):
    pytest.importorskip("nas_bench_graph", reason="needs the extra `benchmarks`")
    metric = "test/accuracy" if protocol == "paper" else "val/accuracy"
    # Few operations, so that many samples are equal and some are refused.
    run = runner.run(["experiment=nasbench_graph", f"strategy={name}", "budget.trials=25",
                      f"evaluator.protocol={protocol}", f"objective.metric={metric}",
                      *SMALL.get(name, []), *USUAL])  # fmt: skip
    found = harnessed(tabular.graphs("cora"), run, 25, protocol=protocol)
    assert history(found) == history(run.trials)
    assert run.goals == Goals((Objective(metric, "max"),))


def test_an_incumbent_is_the_best_by_validation_and_its_figure_is_test(file):
    benchmark = tabular.cells(file)
    strategy = tabular.make_strategy(tabular.strategy_node("random", {}), benchmark, 0)
    trials = tabular.drive(strategy, benchmark, seed=0, evaluations=20)
    for count in (1, 7, 20):
        best = max(trials[:count], key=lambda trial: trial.metrics["val/accuracy"])
        [figure] = tabular.incumbents(trials, benchmark, [count])
        assert figure == 100 * benchmark.row(best.sample, 0).test["accuracy"]
        assert figure == pytest.approx(100 * best.metrics["val/accuracy"] + 9)


@pytest.mark.skipif(not tabular.CSV.exists(), reason=f"there is no {tabular.CSV}")
def test_random_search_reaches_what_is_known_of_it_on_the_published_table():
    figures = [
        bench.on_cells(tabular.CSV, tabular.strategy_node("random", {}), seed) for seed in range(40)
    ]
    for column, known in zip(zip(*figures, strict=True), bench.BARS["random"], strict=True):
        mean = bench.Mean.of(column)
        assert abs(mean.mean - known) < 4 * mean.error
