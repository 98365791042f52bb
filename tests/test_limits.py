"""Limits: reports without a usable objective fail, and a search that cannot succeed is ended."""

import time
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest

from runner.errors import RunFailed
from runner.goals import Goals, Objective
from runner.limits import FUTILE, HOPELESS, Budget, Cost, RunLimits, judged
from runner.training.service import Limits
from runner.trial import REFUSED, Failure, Report, State, Trial

FOLDER = Path("runs/one")
GOALS = Goals((Objective("loss", "min"),))
ERROR = Failure("error", "ValueError: no")


def proposed(number):
    return Trial(number, {}, 0)


def ended(number, failure=None, score=None):
    state = State.FAILED if failure else State.FINISHED
    return Trial(
        number=number,
        sample={},
        seed=0,
        state=state,
        failure=failure,
        scores=() if score is None else (score,),
    )


def observed(limits, trial):
    limits.observe(trial)
    limits.check(trial)


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_report_that_is_not_finite_is_a_failure(value):
    report = judged(Report(3, "finished", {"loss": value}), GOALS, {})
    assert (report.trial, report.kind) == (3, "failed")
    assert report.failure == Failure("not finite", f"loss is {value}")


def test_a_report_without_the_objective_says_what_it_has():
    report = judged(Report(3, "finished", {"accuracy": 1.0}), GOALS, {"time": 2.0})
    assert report.data == {
        "reason": "error",
        "text": "it reported no 'loss' but ['accuracy', 'time']; set objective.metric",
    }


@pytest.mark.parametrize("kind", ["finished", "stopped"])
def test_an_objective_that_was_reported_before_is_enough(kind):
    report = Report(3, kind)
    assert judged(report, GOALS, {"loss": 1.0}) is report


def test_a_refused_trial_costs_no_budget():
    limits = RunLimits(Budget(2, None), Limits(), FOLDER, GOALS)
    limits.observe(proposed(0))
    assert limits.is_within_budget()
    limits.observe(proposed(1))
    assert not limits.is_within_budget()
    limits.observe(ended(0, Failure(REFUSED, "too wide.")))
    assert limits.is_within_budget()
    limits.observe(proposed(2))
    assert not limits.is_within_budget()


def test_repeats_of_a_sample_and_trials_beside_the_search_cost_no_trials():
    limits = RunLimits(Budget(1, epochs=9), Limits(), FOLDER, GOALS)
    for number, stage in enumerate(["baseline", "confirm", "search"]):
        assert limits.is_within_budget()
        limits.observe(replace(proposed(number), stage=stage))
    repeat = replace(proposed(3), repeat_of=2)
    limits.observe(repeat)
    assert not limits.is_within_budget()


def test_the_epochs_of_repeats_are_counted():
    limits = RunLimits(Budget(5, epochs=9), Limits(), FOLDER, GOALS)
    limits.observe(replace(proposed(0), repeat_of=0))
    assert limits.is_within_budget()
    limits.observe(replace(ended(0, score=1.0), repeat_of=0, step=9))
    assert not limits.is_within_budget()


def test_the_minutes_of_a_budget_count_from_the_start(monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limits = RunLimits(Budget(2, 1.5), Limits(), FOLDER, GOALS)
    now += 89
    assert limits.is_within_budget()
    now += 2
    assert not limits.is_within_budget()


def test_the_first_failures_end_a_run_without_any_result():
    limits = RunLimits(Budget(10, None), Limits(), FOLDER, GOALS)
    for number in range(HOPELESS - 1):
        observed(limits, ended(number, ERROR))
    with pytest.raises(RunFailed, match=f"None of {HOPELESS} trials has a result.*ValueError"):
        observed(limits, ended(HOPELESS, ERROR))


def test_one_result_keeps_a_run_going():
    limits = RunLimits(Budget(10, None), Limits(), FOLDER, GOALS)
    observed(limits, ended(0, score=1.0))
    for number in range(1, 3 * HOPELESS):
        observed(limits, ended(number, ERROR))


def test_max_failures_is_a_number_of_failures_that_are_allowed():
    limits = RunLimits(Budget(10, None), Limits(max_failures=1), FOLDER, GOALS)
    observed(limits, ended(0, ERROR))
    with pytest.raises(RunFailed, match=r"2 trials failed, more than training\.max_failures=1"):
        observed(limits, ended(1, ERROR))


def test_refusals_count_in_a_row_only():
    limits = RunLimits(Budget(10, None), Limits(), FOLDER, GOALS)
    refusal = ended(0, Failure(REFUSED, "too wide."))
    for _ in range(FUTILE - 1):
        observed(limits, refusal)
    observed(limits, ended(1, score=1.0))
    for _ in range(FUTILE - 1):
        observed(limits, refusal)
    with pytest.raises(RunFailed, match=rf"{FUTILE} proposals in a row were refused.*too wide\. "):
        observed(limits, refusal)


def test_a_repeat_costs_no_budget_and_counts_no_result_twice():
    limits = RunLimits(Budget(2, epochs=9), Limits(), FOLDER, GOALS)
    first = replace(ended(0, score=1.0), step=5)
    limits.observe(proposed(0))
    limits.observe(first)
    repeat = replace(first, number=1, state=State.RUNNING, duplicate_of=0)
    limits.observe(repeat)
    limits.observe(replace(repeat, state=State.FINISHED))
    assert limits.is_within_budget()
    limits.observe(proposed(2))
    assert not limits.is_within_budget()


def test_epochs_and_costs_are_those_of_all_trials_that_have_ended():
    limits = RunLimits(Budget(9, epochs=8), Limits(), FOLDER, GOALS)
    for number, within in enumerate([True, True, False]):
        limits.observe(replace(ended(number, score=1.0), step=3))
        assert limits.is_within_budget() == within
    limits = RunLimits(Budget(9, cost=Cost("seconds", 2.0)), Limits(), FOLDER, GOALS)
    for number, within in enumerate([True, True, False]):
        trial = replace(ended(number, score=1.0), metrics={"seconds": 0.8})
        limits.observe(replace(trial, metrics={}) if number == 9 else trial)
        assert limits.is_within_budget() == within


def test_too_tight_constraints_end_a_run_with_the_tightest_and_what_came_nearest():
    goals = Goals.of({"metric": "loss", "mode": "min"}, ["params <= 10k", "latency <= 2ms"])
    limits = RunLimits(Budget(10), Limits(), FOLDER, goals)
    for number in range(FUTILE - 1):
        figures = {"latency": 0.003} if number % 10 == 0 else {"params": 12_000.0 + number}
        failure = Failure(REFUSED, "no", figures)
        observed(limits, replace(ended(number, failure), metrics=figures))
    with pytest.raises(RunFailed) as error:
        observed(limits, replace(ended(FUTILE, failure), metrics=figures))
    assert "180 of them because of the constraint 'params <= 10k'" in str(error.value)
    assert "the nearest had 12.0k" in str(error.value)
