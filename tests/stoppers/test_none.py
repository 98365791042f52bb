"""Without early stopping, nothing is decided, and nothing about the metric is checked."""

from runner.goals import Goals, Objective
from runner.stoppers.none import Never
from runner.trial import Trial


def test_it_stops_nothing_whatever_the_objective_is() -> None:
    stopper = Never(Goals((Objective("latency", "min"),)))
    trial = Trial(0, {}, seed=0, step=3, metrics={"latency": 9.0})
    stopper.observe(trial)
    assert not stopper.should_stop(trial) and not stopper.decides
