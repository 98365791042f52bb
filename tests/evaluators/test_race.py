"""Which way of taking steps is kept, and when it is worth finding out."""

from typing import Any

import pytest
import torch

from runner.evaluators.race import AGAIN, RECENT, Prospects, Race

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """clock[0]: the seconds it is now."""
    seconds = [0.0]
    monkeypatch.setattr(Race, "_now", lambda race: seconds[0])
    return seconds


def race(clock: list[float], alone: float, together: float, before: Any = ()) -> tuple[Race, str]:
    """A race, and its steps until it is over: "t" for together, "a" for one after another."""
    runs, ways = Race(CPU, before), ""
    while not runs.over:
        with runs.step() as way:
            clock[0] += together if way else alone
            ways += "t" if way else "a"
    return runs, ways


@pytest.mark.parametrize(("alone", "together"), [(3.0, 1.0), (1.0, 3.0)])
def test_the_faster_way_is_kept(clock: list[float], alone: float, together: float) -> None:
    runs, ways = race(clock, alone, together)
    assert ways == "tatatata"
    assert runs.together == (together < alone)
    assert runs.speedup == alone / together
    with runs.step() as way:
        assert way == runs.together


def test_steps_that_were_timed_before_are_not_taken_again(clock: list[float]) -> None:
    runs, ways = race(clock, 2.0, 1.0, before=(9.0, 2.0))
    assert ways == "ttatat"
    assert runs.speedup == 2.0


def test_the_first_plan_may_take_half_of_a_training() -> None:
    prospects = Prospects()
    assert not prospects.refusal(100, seconds=0.3)
    assert prospects.refusal(100, seconds=0.15) == "planning would cost more than it saves"


def test_a_plan_is_made_where_groups_before_saved_more_than_it_takes() -> None:
    prospects = Prospects()
    prospects.planned(operations=100, seconds=0.2)
    prospects.raced(2.0)
    assert not prospects.refusal(100, seconds=0.5)  # a half of it
    assert "planning would cost more" in prospects.refusal(100, seconds=0.3)
    assert not prospects.refusal(10, seconds=0.3)


def test_no_plans_are_made_while_they_bring_nothing_but_for_one_now_and_then() -> None:
    prospects = Prospects()
    prospects.planned(100, 0.1)
    prospects.raced(0.9)
    answers = [prospects.refusal(100, seconds=10.0) for _ in range(2 * AGAIN)]
    assert [i for i, why in enumerate(answers, start=1) if not why] == [AGAIN, 2 * AGAIN]
    assert {why for why in answers if why} == {"earlier groups gained nothing"}
    assert prospects.refusal(100, seconds=0.1)  # however long ago the last one was


def test_what_was_long_ago_is_forgotten() -> None:
    prospects = Prospects()
    prospects.raced(0.5)
    for _ in range(RECENT):
        prospects.raced(3.0)
    assert not prospects.refusal(100, seconds=10.0)
