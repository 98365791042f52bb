"""Methods: runs of one config under several seeds, compared as a paper would."""

import math
from pathlib import Path

import pytest
from records import CONFIG, write
from scipy import stats

from runner.errors import ConfigError
from runner.methods import BestSoFar, Method, MethodComparison, compared
from runner.results import Run

GRID = {"_target_": "runner.strategies.grid.Grid", "resolution": 5}


def run(folder: Path, values, seed=0, **changes) -> Run:
    """A run whose trials had these values; None: failed."""
    config = CONFIG | {"seed": seed} | changes
    events = [("begun", None, {"version": 2, "config": config})]
    for number, value in enumerate(values):
        own = {"sample": {"width": number}, "seed": 1, "key": f"{number}", "duplicate_of": None}
        events += [("proposed", number, own), ("started", number, {})]
        if value is None:
            events.append(("failed", number, {"reason": "error", "text": "no"}))
        else:
            found = value if isinstance(value, dict) else {"val/accuracy": value}
            events += [("metrics", number, found), ("finished", number, {})]
    write(folder, *events)
    return Run(folder)


def method(label, *finals) -> Method:
    return Method(label, [BestSoFar(seed, [0.0, value]) for seed, value in enumerate(finals)])


def test_runs_that_differ_in_their_seed_only_are_one_method(tmp_path):
    runs = [run(tmp_path / "a", [0.5, 0.7], seed=1), run(tmp_path / "b", [0.6], strategy=GRID),
            run(tmp_path / "c", [0.4, None, 0.9], seed=2)]  # fmt: skip
    found = compared(runs)
    assert [(m.label, [c.seed for c in m.curves]) for m in found.methods] == [
        ("Random", [1, 2]), ("Grid", [0]),
    ]  # fmt: skip
    assert found.methods[0].curves[1].values == [0.4, 0.4, 0.9]
    assert [*found.methods[0].band()] == [
        (1, pytest.approx(0.45), pytest.approx(stats.tstd([0.5, 0.4]))),
        (2, pytest.approx(0.55), pytest.approx(stats.tstd([0.7, 0.4]))),
    ]


def test_methods_are_named_by_what_differs_and_what_does_not_matter_is_left_out(tmp_path):
    other = {"_target_": "toy.Arithmetic", "epochs": 1, "lr": 0.25, "sleep": 0.0}
    runs = [run(tmp_path / "a", [0.5]), run(tmp_path / "b", [0.5], evaluator=other),
            run(tmp_path / "c", [0.5], seed=1, trust=["toy", "more"])]  # fmt: skip
    assert [(m.label, len(m.curves)) for m in compared(runs).methods] == [
        ("evaluator.lr=0.5", 2), ("evaluator.lr=0.25", 1),
    ]  # fmt: skip


def test_several_objectives_are_compared_by_their_hypervolume(tmp_path):
    aims = [{"metric": "a", "mode": "max"}, {"metric": "b", "mode": "min"}]
    runs = [run(tmp_path / "a", [{"a": 1.0, "b": 1.0}, {"a": 3.0, "b": 0.5}], objective=aims),
            run(tmp_path / "b", [{"a": 0.0, "b": 2.0}, {"a": 2.0, "b": 1.5}], objective=aims,
                seed=1)]  # fmt: skip
    found = compared(runs)
    assert found.metric == "hypervolume" and found.maximize
    assert [curve.values for curve in found.methods[0].curves] == [[1.0, 4.5], [0.0, 1.0]]


def test_lower_may_be_better(tmp_path):
    aim = {"metric": "loss", "mode": "min"}
    found = compared([run(tmp_path / "a", [{"loss": 3.0}, {"loss": 1.0}, {"loss": 2.0}],
                          objective=aim)])  # fmt: skip
    assert found.methods[0].curves[0].values == [3.0, 1.0, 1.0] and not found.maximize


def test_a_paired_test_is_that_of_scipy_and_more_is_better():
    a, b = (0.5, 0.6, 0.8), (0.6, 0.65, 0.95)
    [found] = MethodComparison("x", True, [method("a", *a), method("b", *b)]).differences()
    asked = stats.ttest_rel(b, a)
    assert (found.pairs, found.better) == (3, pytest.approx(0.1))
    assert found.interval == pytest.approx(tuple(asked.confidence_interval(0.95)))
    assert found.p == pytest.approx(asked.pvalue)
    [lower] = MethodComparison("x", False, [method("a", *a), method("b", *b)]).differences()
    assert lower.better == pytest.approx(-0.1)


def test_other_seeds_are_not_paired_and_one_seed_proves_nothing():
    apart = Method("b", [BestSoFar(seed, [value]) for seed, value in ((7, 0.1), (8, 0.3))])
    [found] = MethodComparison("x", True, [method("a", 0.5, 0.6), apart]).differences()
    assert found.pairs == 0
    assert found.p == pytest.approx(stats.ttest_ind([0.1, 0.3], [0.5, 0.6], equal_var=False).pvalue)
    [single] = MethodComparison("x", True, [method("a", 0.5), method("b", 0.9)]).differences()
    assert (single.interval, single.p, single.is_certain) == (None, None, False)


def test_equal_differences_have_no_spread():
    [same] = MethodComparison("x", True, [method("a", 1.0, 2.0), method("b", 1.0, 2.0)]
                              ).differences()  # fmt: skip
    assert (same.p, same.interval, same.is_certain) == (1.0, (0.0, 0.0), False)
    [more] = MethodComparison("x", True, [method("a", 1.0, 2.0), method("b", 1.5, 2.5)]
                              ).differences()  # fmt: skip
    assert (more.p, more.is_certain) == (0.0, True)


def test_several_tests_are_corrected():
    base = method("a", 0.5, 0.6, 0.8)
    others = [method("b", 0.6, 0.65, 0.95), method("c", 0.7, 0.9, 0.8)]
    alone = [MethodComparison("x", True, [base, one]).differences()[0].p for one in others]
    both = [one.p for one in MethodComparison("x", True, [base, *others]).differences()]
    small, large = sorted(alone)
    assert sorted(both) == [pytest.approx(min(1, 2 * small)),
                            pytest.approx(max(min(1, 2 * small), large))]  # fmt: skip


def test_what_cannot_be_compared_is_said(tmp_path):
    one = run(tmp_path / "a", [0.5])
    other = run(tmp_path / "b", [{"loss": 1.0}], objective={"metric": "loss", "mode": "min"})
    with pytest.raises(ConfigError, match=r"different objectives \(val/accuracy max; loss min\)"):
        compared([one, other])
    with pytest.raises(ConfigError, match="No trial of these runs has a result"):
        compared([run(tmp_path / "c", [None, None])])


def test_a_run_without_any_result_is_left_out(tmp_path):
    found = compared([run(tmp_path / "a", [0.5]), run(tmp_path / "b", [None], seed=1)])
    assert [[c.seed for c in m.curves] for m in found.methods] == [[0]]
    assert not any(math.isnan(c.final) for m in found.methods for c in m.curves)
