"""Schedules: pure functions of the step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ConfigError
from runner.evaluators.schedule import Constant, Cosine, Linear, Schedule


def test_lines_and_curves_by_hand() -> None:
    assert [Constant(0.0)(step, 4) for step in range(4)] == [1, 1, 1, 1]
    assert [Linear(0.0, 0.0)(step, 4) for step in range(4)] == [1, 0.75, 0.5, 0.25]
    assert Cosine(0.0, 0.0)(2, 4) == pytest.approx(0.5)
    assert Cosine(0.0, 0.5)(2, 4) == pytest.approx(0.75)
    assert [Constant(0.5)(step, 6) for step in range(4)] == [0.25, 0.5, 0.75, 1]


@given(st.integers(1, 500), st.floats(0, 0.99), st.floats(0, 1))
def test_rises_to_1_and_falls_to_the_end(total: int, warmup: float, end: float) -> None:
    for schedule in (Constant(warmup), Linear(warmup, end), Cosine(warmup, end)):
        values = [schedule(step, total) for step in range(total)]
        peak = round(warmup * total)
        assert all(0 <= value <= 1 for value in values)
        assert values[: peak + 1] == sorted(values[: peak + 1])
        assert values[peak:] == sorted(values[peak:], reverse=True)
        if peak < total:
            assert values[peak] == pytest.approx(1)


@pytest.mark.parametrize("warmup", [-0.1, 1.0])
@pytest.mark.parametrize("make", [Constant, lambda warmup: Cosine(warmup, 0.0)])
def test_bad_warmup(make: type[Schedule], warmup: float) -> None:
    with pytest.raises(ConfigError, match=rf"evaluator\.schedule\.warmup is {warmup}"):
        make(warmup)


def test_bad_end() -> None:
    with pytest.raises(ConfigError, match=r"evaluator\.schedule\.end is -1"):
        Linear(0.0, -1)
