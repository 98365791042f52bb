"""Constraints: what a text means, by how much a value breaks it, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.constraints import UNITS, Constraint
from runner.errors import ConfigError

READ = [
    ("params <= 200_000", "params", "<=", 200_000.0, None),
    ("params<=200k", "params", "<=", 200_000.0, None),
    ("flops < 5e6", "flops", "<", 5e6, None),
    ("flops <= 1.5G", "flops", "<=", 1.5e9, None),
    ("latency <= 2ms", "latency", "<=", 2e-3, "s"),
    ("latency <= 2 ms", "latency", "<=", 2e-3, "s"),
    ("latency < 350us", "latency", "<", 350e-6, "s"),
    ("memory <= 2GB", "memory", "<=", 2e9, "B"),
    ("size <= 1MiB", "size", "<=", 2.0**20, "B"),
    ("val/accuracy >= 0.9", "val/accuracy", ">=", 0.9, None),
    ("val/accuracy > 90%", "val/accuracy", ">", 0.9, ""),
    ("my metric >= -1e-3", "my metric", ">=", -1e-3, None),
    ("x >= .5", "x", ">=", 0.5, None),
]


@pytest.mark.parametrize(("text", "metric", "relation", "bound", "unit"), READ)
def test_a_text_is_read(text, metric, relation, bound, unit):
    found = Constraint.parse(text)
    assert (found.metric, found.relation, found.unit) == (metric, relation, unit)
    assert found.bound == pytest.approx(bound) and found.text == text


ODD = [
    ("params < ", "must be a metric, <=, <, >= or >, and a number"),
    ("params", "must be a metric"),
    ("<= 3", "must be a metric"),
    ("", "must be a metric"),
    (3, "constraints is 3; it must be a metric"),
    (None, "must be a metric"),
    ({"params": 3}, "must be a metric"),
    ("params == 3", "must be a metric"),
    ("1 <= params <= 3", "must be a metric"),
    ("params <= many", "'many' is no number"),
    ("params <= 0x10", "'0x10' is no number"),
    ("params <= nan", "'nan' is no number"),
    ("params <= 1e999", "'1e999' is too large"),
    ("params <= 3 bananas", "there is no unit 'bananas'"),
    ("params <= __import__('os').system('x')", "is no number"),
]


@pytest.mark.parametrize(("text", "words"), ODD)
def test_what_cannot_be_read_is_said_in_one_line(text, words):
    with pytest.raises(ConfigError) as error:
        Constraint.parse(text)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "unit", "words"),
    [
        ("params <= 2ms", "", "params is a plain number; its bound may be a plain number, or one "
         "with k, M, G or %"),
        ("latency <= 2MB", "s", "latency is in seconds"),
        ("memory <= 2%", "B", "memory is in bytes"),
    ],
)  # fmt: skip
def test_a_unit_that_does_not_fit_is_refused(text, unit, words):
    with pytest.raises(ConfigError, match=words):
        Constraint.parse(text).check_unit(unit)


@pytest.mark.parametrize("unit", ["", "s", "B"])
def test_units_that_fit_and_plain_numbers_pass(unit):
    for name, (fits, _) in UNITS.items():
        if fits in (None, unit):
            Constraint.parse(f"x <= 2{name}").check_unit(unit)
    Constraint.parse("x <= 2").check_unit(unit)


NUMBERS = st.floats(-1e12, 1e12)


@given(NUMBERS, NUMBERS, st.sampled_from(["<=", "<", ">=", ">"]))
def test_a_value_breaks_a_constraint_exactly_if_python_says_so(value, bound, relation):
    found = Constraint.parse(f"x {relation} {bound!r}".replace("inf", "1"))
    holds = {"<=": value <= found.bound, "<": value < found.bound, ">=": value >= found.bound,
             ">": value > found.bound}[relation]  # fmt: skip
    assert (found.violation(value) == 0) == holds
    assert found.violation(value) >= 0


def test_a_violation_is_relative_to_the_bound():
    assert Constraint.parse("params <= 200").violation(300) == pytest.approx(0.5)
    assert Constraint.parse("params <= 0").violation(3) == 3
    assert Constraint.parse("val/accuracy >= 0.8").violation(0.6) == pytest.approx(0.25)
    assert Constraint.parse("x <= 1").violation(math.nan) == math.inf
