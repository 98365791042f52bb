"""Repeats: the trainings of one sample are one trial, with their means, in whatever order they
end."""

from dataclasses import replace
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.repeats import SampleResults, merged, taken_as_one
from runner.trial import Failure, State, Trial


def training(number, score=None, repeat_of=None, stage="search", **changes) -> Trial:
    """A trial that finished with a score, or failed without one."""
    metrics = {} if score is None else {"val/accuracy": score, "params": 10}
    return Trial(
        number, {"a": 1}, seed=number, state=State.FAILED if score is None else State.FINISHED,
        metrics=metrics, scores=() if score is None else (score,), repeat_of=repeat_of,
        stage=stage, failure=Failure("error", "no") if score is None else None, **changes,
    )  # fmt: skip


def running(trial: Trial) -> Trial:
    return replace(
        trial, state=State.RUNNING, metrics={}, scores=(), violation=0.0, failure=None
    )  # fmt: skip


def test_trainings_become_one_trial_with_means_and_deviations():
    scores = [0.5, 0.7, 0.9]
    trials = [training(0, 0.5), training(1, 0.1), training(2, 0.7, 0), training(3, 0.9, 0)]
    first, other = merged(trials)
    assert first.number == 0 and first.trainings == 3 and not first.confirmed
    assert first.scores == (pytest.approx(fmean(scores)),)
    assert first.metrics == {"val/accuracy": pytest.approx(fmean(scores)), "params": 10}
    assert first.deviations == {"val/accuracy": pytest.approx(stdev(scores))}
    assert other is trials[1]


def test_what_was_merged_is_not_merged_again():
    trials = [training(0, 0.5), training(1, 0.7, 0), training(2, 0.6, 0, "confirm")]
    assert merged(merged(trials)) == merged(trials)


def test_a_confirmed_sample_has_the_means_of_its_new_trainings_alone():
    trials = [training(0, 0.9), training(1, 0.8, 0), training(2, 0.5, 0, "confirm"),
              training(3, 0.7, 0, "confirm")]  # fmt: skip
    [found] = merged(trials)
    assert found.confirmed and found.trainings == 2 and found.scores == (pytest.approx(0.6),)


def test_a_sample_is_not_confirmed_while_its_new_trainings_run():
    late = running(training(2, 0.5, 0, "confirm"))
    [found] = merged([training(0, 0.9), training(1, 0.5, 0, "confirm"), late])
    assert not found.confirmed and found.scores == (0.9,)


def test_a_sample_that_fails_when_it_is_confirmed_has_no_result_that_counts():
    late = training(2, None, 0, "confirm")
    [found] = merged([training(0, 0.9), training(1, 0.5, 0, "confirm"), late])
    assert found.failed and not found.scored and not found.confirmed


def test_trainings_that_no_sample_waits_for_change_nothing():
    results = SampleResults(2)
    for trial in (training(0, 0.5), training(1, 0.7, 0)):
        results.see(running(trial))
    assert [*results.see(training(0, 0.5)), *results.see(training(1, 0.7, 0))]
    stray = training(2, 0.9, 0)
    assert not [*results.see(running(stray)), *results.see(stray)] and results.owed is None


def test_a_sample_is_as_good_as_the_worst_of_its_trainings():
    failed = merged([training(0, 0.9), training(1, None, 0)])[0]
    assert failed.failed and not failed.scored and failed.failure == Failure("error", "no")
    stopped = replace(training(1, 0.9, 0), state=State.STOPPED, scores=())
    assert merged([training(0, 0.9), stopped])[0].stopped
    broken = merged([training(0, 0.9), replace(training(1, 0.8, 0), violation=0.5)])[0]
    assert broken.violation == 0.5 and not broken.feasible


def test_a_metric_that_only_the_first_training_has_stays():
    first = training(0, 0.5)
    tested = replace(first, metrics={**first.metrics, "test/accuracy": 0.4})
    found = taken_as_one(tested, [tested, training(1, 0.7, 0)])
    assert found.metrics["test/accuracy"] == 0.4 and "test/accuracy" not in found.deviations


@given(st.permutations(range(6)), st.lists(st.none() | st.floats(0, 1), min_size=6, max_size=6))
def test_the_fold_tells_of_each_sample_once_whatever_the_order_of_the_ends(order, scores):
    """Two samples are trained three times each, all at once."""
    trials = [training(n, scores[n], None if n in (0, 3) else 3 * (n // 3)) for n in range(6)]
    repeats = SampleResults(3)
    told = [seen for trial in trials for seen in repeats.see(running(trial))]
    assert [seen.number for seen in told] == [0, 3] and repeats.owed is None
    told = [seen for n in order for seen in repeats.see(trials[n])]
    assert sorted(told, key=lambda seen: seen.number) == merged(trials)


def test_what_is_owed_is_owed_no_more_once_a_training_has_no_result():
    repeats = SampleResults(3)
    first = training(0, None)
    repeats.see(running(first))
    assert repeats.owed == running(first)
    assert [*repeats.see(first)] == [first] and repeats.owed is None


@pytest.mark.parametrize("early", [True, False])
def test_a_trial_that_shares_a_result_has_that_of_all_trainings(early):
    repeats = SampleResults(2)
    share = training(2, 0.5, duplicate_of=0)
    for trial in (training(0, 0.5), training(1, 0.7, 0), share):
        repeats.see(running(trial))
    ends = [training(0, 0.5), *([share] if early else []), training(1, 0.7, 0)]
    ends += [] if early else [share]
    told = [seen for trial in ends for seen in repeats.see(trial)]
    assert [(seen.number, seen.scores) for seen in told] == [
        (0, (pytest.approx(0.6),)), (2, (pytest.approx(0.6),))
    ]  # fmt: skip


def test_without_repeats_trials_pass_as_they_are():
    trial = training(0, 0.5)
    assert SampleResults(1).see(trial) == [trial] and SampleResults(1).owed is None
