"""What tests of strategies share: spaces from a function, and a small loop that drives a search."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from functions import Ask, FunctionSpace

from runner.space.choice import Categorical, Numeric, Subset
from runner.space.sample import DrawError, Sample, generator
from runner.space.space import Space
from runner.strategies.strategy import NotYet, Strategy
from runner.trial import State, Trial


def flat(ask: Ask) -> None:
    ask(Categorical("a", (1, True, "x", None, [1, 2], {"k": 0.5})))
    ask(Categorical("b", ("left", "right")))
    ask(Categorical("only", ("one",)))


def conditional(ask: Ask) -> None:
    ask(Categorical("width", (16, 32)))
    for i in range(ask(Numeric("depth", 1, 3, step=1))):
        if ask(Categorical(f"op{i}", ("conv", "pool", "skip"))) == "conv":
            ask(Categorical(f"kernel{i}", (3, 5)))


def candidates_depend(ask: Ask) -> None:
    wide = ask(Categorical("wide", (False, True)))
    ask(Categorical("channels", (64, 128, 256) if wide else (16, 32, 64)))
    ask(Numeric("groups", 1, 8 if wide else 4, step=1))


def numbers(ask: Ask) -> None:
    ask(Numeric("int", 1, 6, step=2))
    ask(Numeric("log int", 1, 100, step=1, log=True))
    ask(Numeric("float", -1.0, 1.0))
    ask(Numeric("log float", 1e-4, 1e-1, log=True))


def subsets(ask: Ask) -> None:
    ask(Subset("pair", 4, 2))
    ask(Subset("any", 3, None))
    ask(Subset("many", 9, 4))
    ask(Subset("any of many", 7, None))
    ask(Subset("all", 3, 3))


def broken(ask: Ask) -> None:
    """One of its ways raises."""
    stride = ask(Categorical("stride", (2, 1, 0)))
    ask(Categorical("size", tuple(8 // stride + i for i in range(3))))


SPACES = [flat, conditional, candidates_depend, numbers, subsets, broken]


@pytest.fixture(params=SPACES, ids=lambda function: function.__name__)
def space(request: pytest.FixtureRequest) -> Space:
    return FunctionSpace(request.param)


@pytest.fixture
def space_of() -> Callable[[Callable[[Ask], object]], Space]:
    return FunctionSpace


@pytest.fixture
def drive() -> Callable[..., list[Trial]]:
    return _drive


def _drive(
    strategy: Strategy,
    score: Callable[[Sample], float | None],
    *,
    trials: int,
    slots: int = 1,
    events: Sequence[Trial] = (),
    variants: int = 1,
) -> list[Trial]:
    """Run a search, going on behind `events`; gives all that the strategy observed.

    With several `variants`, it is asked for so many samples of a trial, and one of them is taken.
    Trials end in a random order that depends on the number of events alone. A score of None is a
    failed trial, or for odd numbers a finished one without a result.
    """
    seen = [*events]
    for event in seen:
        strategy.observe(event)
    running = {event.number: event for event in seen if event.running}
    for event in seen:
        if not event.running:
            del running[event.number]
    number = sum(event.running for event in seen)
    waits = False  # until a trial has ended
    while running or number < trials:
        if number < trials and len(running) < slots and not waits:
            try:
                event = _chosen(strategy, number, variants)
            except StopIteration:
                trials = number
                continue
            except NotYet:
                assert running, "nothing is left to wait for"
                waits = True
                continue
            running[number] = event
            number += 1
        else:
            event = running.pop(generator(0, len(seen)).choice([*running]))
            event = _ended(event, score(event.sample))
            waits = False
        strategy.observe(event)
        seen.append(event)
    return seen


def _chosen(strategy: Strategy, number: int, variants: int) -> Trial:
    found = [_proposed(strategy, number)]
    if not strategy.fixed:
        for variant in range(1, variants):
            strategy.vary(variant)
            found.append(_proposed(strategy, number))
        strategy.vary(0)
    return generator(1, number).choice(found)


def _proposed(strategy: Strategy, number: int) -> Trial:
    try:
        sample = strategy.propose(number)
    except DrawError as error:
        sample = error.sample
    again = strategy.repeat_of
    return Trial(number, sample, seed=0, parent=strategy.parent, repeat_of=again)


def _ended(trial: Trial, score: float | None) -> Trial:
    if score is None and trial.number % 2 == 0:
        return replace(trial, state=State.FAILED)
    if trial.number % 5 == 0 and score is not None:
        metrics = {"val/accuracy": score}
        return replace(trial, state=State.STOPPED, metrics=metrics, step=1 + trial.number % 3)
    return replace(trial, state=State.FINISHED, scores=() if score is None else (score,))
