"""What every stopper promises."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hydra.utils import get_class
from searches import CONF, GOALS, make_stopper

from runner.stoppers.stopper import Stopper
from runner.trial import State, Trial

NAMES = sorted(file.stem for file in (CONF / "stopper").glob("*.yaml"))
SOONER: dict[str, dict[str, Any]] = {  # so that they stop within the nine epochs of a test
    "asha": {}, "hyperband": {}, "none": {},
    "median": {"n_startup_trials": 2}, "percentile": {"n_startup_trials": 2},
    "patience": {"patience": 1}, "threshold": {"lower": 0.3},
    "wilcoxon": {"p_threshold": 0.3},
}  # fmt: skip


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(name: str) -> Callable[[], Stopper]:
    return lambda: make_stopper(name, **SOONER[name])


def test_it_stops_trials_and_lets_others_finish(name, make, drive) -> None:
    states = [event.state for event in drive(make(), trials=20)]
    assert State.FINISHED in states
    assert (State.STOPPED in states) == make().decides == (name != "none")


@pytest.mark.parametrize("slots", [1, 4])
def test_its_decisions_follow_from_the_record(make, drive, slots) -> None:
    one, two = (drive(make(), trials=20, slots=slots) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("slots", [1, 4])
def test_it_never_stops_a_trial_that_has_not_reported_or_repeats_another(
    make, drive, slots
) -> None:
    for event in drive(make(), trials=20, slots=slots):
        if event.stopped:
            assert event.step >= 1
            assert event.duplicate_of is None
            assert event.number != 4, "it does not report the metric"


def test_a_run_resumed_at_any_event_goes_on_as_it_would_have(make, drive, ends) -> None:
    whole = drive(make(), trials=9)
    for cut in range(len(whole)):
        resumed = drive(make(), trials=9, events=whole[:cut])
        assert ends(resumed) == ends(whole), f"cut behind event {cut}"


def test_a_run_resumed_twice_goes_on_as_it_would_have(make, drive, ends) -> None:
    whole = drive(make(), trials=9)
    for cut in range(1, len(whole), 7):
        once = drive(make(), trials=9, events=whole[:cut])
        twice = drive(make(), trials=9, events=once[: cut + 2])
        assert ends(twice) == ends(whole), f"cut behind event {cut}"


def test_a_trial_that_is_started_again_is_not_judged_twice_by_what_it_repeats(make) -> None:
    """Whatever other trials did meanwhile: that it went on was decided."""
    stopper = make()
    value = {"val/accuracy": 0.4}
    slow = Trial(0, {}, seed=0)
    stopper.observe(slow)
    stopper.observe(replace(slow, started_at=1.0))
    for step in (1, 2):
        stopper.observe(replace(slow, started_at=1.0, step=step, metrics=value))
        assert not stopper.should_stop(replace(slow, step=step))
    for number in range(1, 9):
        other = Trial(number, {}, seed=0, started_at=1.0)
        stopper.observe(replace(other, started_at=None))
        for step in range(1, 4):
            stopper.observe(replace(other, step=step, metrics={"val/accuracy": 0.9}))
        stopper.observe(replace(other, step=3, metrics=value, state=State.FINISHED, scores=(0.9,)))
    stopper.observe(replace(slow, started_at=2.0))
    for step in (1, 2):
        stopper.observe(replace(slow, started_at=2.0, step=step, metrics=value))
        assert not stopper.should_stop(replace(slow, step=step))


def test_global_random_state_is_neither_read_nor_changed(make, drive) -> None:
    import random

    import numpy

    runs = []
    for seed in (0, 1):
        random.seed(seed)
        numpy.random.seed(seed)
        before = random.getstate(), numpy.random.get_state()[1].tolist()
        runs.append(drive(make(), trials=8))
        assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before
    assert runs[0] == runs[1]


def test_a_check_changes_no_decision(make, drive) -> None:
    checked = make()
    checked.check()
    assert drive(checked, trials=12) == drive(make(), trials=12)


def test_its_config_lists_every_argument(name) -> None:
    node = yaml.safe_load((CONF / "stopper" / f"{name}.yaml").read_text())
    arguments = inspect.signature(get_class(node["_target_"])).parameters
    assert node.keys() - {"_target_"} == arguments.keys() - {"goals"}
    assert all(p.default is inspect.Parameter.empty for p in arguments.values())
    if "pruner" in node:
        inner = inspect.signature(get_class(node["pruner"]["_target_"])).parameters
        assert node["pruner"].keys() - {"_target_", "_partial_"} == inner.keys()


def test_it_decides_on_the_first_objective(make) -> None:
    assert make().objective == GOALS.objectives[0]
