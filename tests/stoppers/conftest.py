"""What tests of stoppers share: learning curves, and a small loop that drives a search of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from runner.space.sample import generator
from runner.stoppers.stopper import Stopper
from runner.trial import Failure, State, Trial

METRIC = "val/accuracy"
Curve = Sequence[float]


def learned(number: int, epochs: int = 9) -> Curve:
    """A curve that rises with noise, to a level of its own."""
    rng = generator(7, "curve", number)
    level = rng.random()
    return [level * (1 - 0.7**epoch) + rng.gauss(0, 0.02) for epoch in range(1, epochs + 1)]


def fails(trial: Trial) -> bool:
    return trial.number % 6 == 5 and trial.step == 3


def metrics_of(trial: Trial, value: float) -> Mapping[str, float]:
    """Trial 4 never reports the metric."""
    return {"other": 1.0} if trial.number == 4 else {METRIC: value}


def ended(trial: Trial) -> Trial:
    scores = (trial.metrics[METRIC],) if METRIC in trial.metrics else ()
    return replace(trial, state=State.FINISHED, scores=scores)


def next_change(trial: Trial, curve: Curve, *, stop: bool) -> Trial:
    """What happens to a running trial next. Every seventh shares the result of another one."""
    if trial.duplicate_of is not None:
        return ended(trial)
    if stop:
        return replace(trial, state=State.STOPPED)
    if trial.started_at is None:
        return replace(trial, started_at=1.0)
    if fails(trial):
        return replace(trial, state=State.FAILED, failure=Failure("error", "KeyError"))
    if trial.step == len(curve):
        return ended(trial)
    metrics = metrics_of(trial, curve[trial.step])
    return replace(trial, step=trial.step + 1, metrics=metrics)


def _drive(
    stopper: Stopper,
    curves: Callable[[int], Curve] = learned,
    *,
    trials: int,
    slots: int = 1,
    events: Sequence[Trial] = (),
    plain: bool = False,
) -> list[Trial]:
    """Run a search, going on behind `events`; gives all that the stopper observed. Running trials
    of `events` are started again. If `plain`, all trials report, and none fails or repeats."""
    seen: list[Trial] = []
    running: dict[int, Trial] = {}

    def happens(trial: Trial) -> None:
        stopper.observe(trial)
        seen.append(trial)
        running[trial.number] = trial
        if not trial.running:
            del running[trial.number]

    for event in events:
        happens(event)
    for trial in [*running.values()]:
        if trial.step and not stopper.should_stop(trial):
            happens(replace(trial, step=0, metrics={}, started_at=1.0))
    number = len({event.number for event in seen})
    while running or number < trials:
        if number < trials and len(running) < slots:
            repeats = number % 7 == 6 and not plain
            happens(Trial(number, {}, seed=0, duplicate_of=0 if repeats else None))
            number += 1
            continue
        chosen = running[generator(0, len(seen)).choice([*running])]
        stop = stopper.should_stop(chosen)
        assert not stop or METRIC in chosen.metrics
        if plain:
            happens(_plain_change(chosen, curves(chosen.number), stop=stop))
        else:
            happens(next_change(chosen, curves(chosen.number), stop=stop))
    return seen


def _plain_change(trial: Trial, curve: Curve, *, stop: bool) -> Trial:
    if stop:
        return replace(trial, state=State.STOPPED)
    if trial.step == len(curve):
        return replace(trial, state=State.FINISHED, scores=(trial.metrics[METRIC],))
    return replace(trial, step=trial.step + 1, metrics={METRIC: curve[trial.step]}, started_at=1.0)


def _ends(events: Sequence[Trial]) -> list[tuple[Any, ...]]:
    """How each trial ended: what must be equal between two runs."""
    final = {event.number: event for event in events}
    return [(t.number, str(t.state), t.step, dict(t.metrics)) for t in final.values()]


@pytest.fixture(scope="session")
def drive() -> Callable[..., list[Trial]]:
    return _drive


@pytest.fixture(scope="session")
def ends() -> Callable[[Sequence[Trial]], list[tuple[Any, ...]]]:
    return _ends
