"""Pruners of Optuna as stoppers: the decisions are those of Optuna's own loop."""

import math
import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from searches import GOALS, make_stopper

from runner.errors import ConfigError
from runner.goals import Goals, Objective
from runner.stoppers.optuna import OptunaStopper
from runner.trial import State, Trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
METRIC = "val/accuracy"
STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "stopped"}
PRUNERS: dict[str, dict[str, Any]] = {
    "MedianPruner": {"n_startup_trials": 1},
    "PercentilePruner": {"percentile": 40.0, "n_startup_trials": 2, "interval_steps": 2},
    "SuccessiveHalvingPruner": {"min_resource": 1, "reduction_factor": 2},
    "HyperbandPruner": {"max_resource": 8},
    "WilcoxonPruner": {"p_threshold": 0.3},
    "PatientPruner": {"wrapped_pruner": None, "patience": 1},
    "ThresholdPruner": {"lower": -1.0, "upper": 2.0},
}
AUTO = {
    "SuccessiveHalvingPruner": {"min_resource": "auto", "bootstrap_count": 0},
    "HyperbandPruner": {"max_resource": "auto"},
}


def theirs(pruner, curves, mode) -> list[tuple[str, int]]:
    """How trials end in Optuna's own loop, and after how many epochs."""

    def objective(trial: optuna.Trial) -> float:
        for epoch, value in enumerate(curves[trial.number], start=1):
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            direction=f"{mode}imize", pruner=pruner(), study_name="runner",
            sampler=optuna.samplers.RandomSampler(seed=0),
        )  # fmt: skip
        study.optimize(objective, n_trials=len(curves))
    return [(STATES[t.state], len(t.intermediate_values)) for t in study.trials]


def ours(pruner, curves, mode, drive, ends) -> list[tuple[str, int]]:
    goals = Goals((Objective(METRIC, mode),))
    stopper = OptunaStopper(goals, metric=None, mode=None, pruner=pruner)
    events = drive(stopper, curves.__getitem__, trials=len(curves), plain=True)
    return [(state, step) for _, state, step, _ in ends(events)]


VALUES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 3.0, -2.0])


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [*PRUNERS.items(), *AUTO.items()],
    ids=[*PRUNERS, *(f"{name} auto" for name in AUTO)],
)
@settings(max_examples=15, derandomize=True)
@given(curves=st.lists(st.lists(VALUES, min_size=5, max_size=5), min_size=8, max_size=8))
def test_decisions_are_those_of_optunas_own_loop(
    name, arguments, mode, curves, drive, ends
) -> None:
    pruner = partial(getattr(optuna.pruners, name), **arguments)
    assert ours(pruner, curves, mode, drive, ends) == theirs(pruner, curves, mode)


def outcome(name: str, curve: list[float], **changes: Any) -> int | None:
    """The epoch at which a trial is stopped; None: never."""
    stopper, trial = make_stopper(name, **changes), Trial(0, {}, seed=0)
    stopper.observe(trial)
    for step, value in enumerate(curve, start=1):
        trial = replace(trial, step=step, metrics={METRIC: value}, started_at=1.0)
        stopper.observe(trial)
        if stopper.should_stop(trial):
            return step
    return None


@pytest.mark.parametrize(
    ("curve", "changes", "epoch"),
    [
        ([0.1, 0.6, 0.9], {"lower": 0.5}, None),  # the warm-up is over at epoch 2
        ([0.1, 0.4, 0.9], {"lower": 0.5}, 2),
        ([0.6, 0.6, 0.4], {"lower": 0.5}, 3),
        ([0.1, 0.4, 0.9], {"upper": 0.8}, 3),
        ([0.5, math.nan], {"lower": 0.0}, 2),
        ([0.1, 0.4, 0.9], {"lower": 0.5, "n_warmup_steps": 3}, None),
    ],
)
def test_a_threshold_stops_what_is_out_of_bounds(curve, changes, epoch) -> None:
    assert outcome("threshold", curve, **changes) == epoch


@pytest.mark.parametrize(
    ("curve", "changes", "epoch"),
    [
        ([0.1, 0.5, 0.4, 0.4, 0.4, 0.4], {}, 6),  # three epochs and the latest are all worse
        ([0.1, 0.5, 0.4, 0.4, 0.4, 0.5], {}, None),
        ([0.5, 0.4, 0.4], {"patience": 1}, 3),
        ([0.5, 0.45, 0.45], {"patience": 1, "min_delta": 0.1}, None),
        ([0.5, 0.3, 0.3], {"patience": 1, "min_delta": 0.1}, 3),
    ],
)
def test_patience_ends_when_the_best_value_lies_in_the_past(curve, changes, epoch) -> None:
    assert outcome("patience", curve, **changes) == epoch


def test_asha_keeps_the_best_third_at_each_rung() -> None:
    stopper = make_stopper("asha")
    stopped = []
    for number, value in enumerate([0.9, 0.5, 0.6, 0.95, 0.7]):
        trial = Trial(number, {}, seed=0)
        stopper.observe(trial)
        trial = replace(trial, step=1, metrics={METRIC: value})
        stopper.observe(trial)
        stopped.append(stopper.should_stop(trial))
    assert stopped == [False, True, True, False, True]


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("threshold", {}, "stopper.pruner cannot be created: TypeError: Either lower or upper"),
        ("percentile", {"percentile": 200.0}, "stopper.pruner cannot be created: ValueError"),
        ("hyperband", {"max_resource": 0}, "stopper.pruner cannot decide: ValueError"),
    ],
)
def test_arguments_that_do_not_work_are_refused_before_the_search(name, changes, text) -> None:
    with pytest.raises(ConfigError) as refused:
        make_stopper(name, **changes).check()
    assert str(refused.value).startswith(text)


def test_a_metric_that_is_no_objective_needs_a_mode() -> None:
    with pytest.raises(ConfigError, match=r"'val/loss', which is no objective; set stopper\.m"):
        OptunaStopper(GOALS, metric="val/loss", mode=None, pruner=optuna.pruners.MedianPruner)


def test_it_can_decide_on_another_metric_and_direction() -> None:
    pruner = partial(optuna.pruners.PatientPruner, None, 0)
    stopper = OptunaStopper(GOALS, metric="val/loss", mode="min", pruner=pruner)
    trial = Trial(0, {}, seed=0)
    stopper.observe(trial)
    for step, loss in enumerate([1.0, 0.5, 0.7], start=1):
        trial = replace(trial, step=step, metrics={"val/loss": loss, METRIC: step / 9})
        stopper.observe(trial)
        assert stopper.should_stop(trial) == (step == 3)


def test_only_trials_that_finished_count_for_the_median() -> None:
    """A stopped trial, a failed one and one without the metric do not."""
    for state, metrics, counts in [
        (State.FINISHED, {METRIC: 0.9}, True),
        (State.STOPPED, {METRIC: 0.9}, False),
        (State.FAILED, {METRIC: 0.9}, False),
        (State.FINISHED, {"other": 0.9}, False),
    ]:
        stopper = make_stopper("median", n_startup_trials=1)
        for number in range(2):
            trial = Trial(number, {}, seed=0)
            stopper.observe(trial)
            for step in (1, 2):
                value = {METRIC: 0.1} if number else metrics
                trial = replace(trial, step=step, metrics=value)
                stopper.observe(trial)
            if not number:
                stopper.observe(replace(trial, state=state))
        assert stopper.should_stop(trial) == counts
