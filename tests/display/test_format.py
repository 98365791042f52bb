"""Short, safe text, whatever the names and numbers are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.display import format as text


@given(st.text(st.characters()))
def test_clean_text_is_printable_and_says_what_it_hides(given):
    assert text.clean(given).isprintable()
    assert text.clean("\n\x1b\u202e\ud800\u00a0") == r"\n\x1b\u202e\ud800\xa0"


@given(st.text(st.characters()))
def test_a_sentence_is_one_line_and_can_be_written_anywhere(given):
    text.sentence(given).encode()
    assert len(text.sentence(given).splitlines()) <= 1


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("relu", "relu"), (3, "3"), (0.00012345, "0.0001234"), (True, "true"), (None, "null"),
        ([1, "a b"], '[1,"a b"]'), ({"k": 3}, '{"k":3}'), ("x" * 100, "x" * 39 + "…"),
        (["\u202e"], r'["\u202e"]'),
    ],
)  # fmt: skip
def test_values_are_short(item, expected):
    assert text.value(item) == expected


def test_pairs_are_those_asked_for_in_the_order_of_the_sample():
    sample = {"width": 16, "act": "relu", "depth": 2}
    assert text.pairs(sample) == "width=16 act=relu depth=2"
    assert text.pairs(sample, ["depth", "width", "other"]) == "width=16 depth=2"


@pytest.mark.parametrize(
    ("function", "figure", "expected"),
    [
        (text.number, 0.97126, "0.9713"), (text.number, 1.0, "1.0000"), (text.number, 0, "0.0000"),
        (text.number, -12.5, "-12.5000"), (text.number, 12345.6, "1.235e+04"),
        (text.number, 0.00012, "0.00012"), (text.number, math.nan, "nan"),
        (text.compact, 0, "0"), (text.compact, 950, "950"), (text.compact, 12_345, "12.3k"),
        (text.compact, 1_200_000, "1.20M"), (text.compact, 123_456_789, "123M"),
        (text.compact, 2e9, "2.00G"), (text.compact, 999_999, "1.00M"),
        (text.large, 12_345_678, "12,345,678"), (text.large, 123_456_789_012_345, "1.2e14"),
        (text.large, 10**400, "1.0e400"), (text.large, math.inf, "infinitely many"),
        (text.clock, 7.9, "0:07"), (text.clock, 754, "12:34"), (text.clock, 7384, "2:03:04"),
        (text.clock, -1, "0:00"), (text.duration, 4.23, "4.2 s"), (text.duration, 59.96, "1:00"),
    ],
)  # fmt: skip
def test_figures_are_short(function, figure, expected):
    assert function(figure) == expected


def test_a_name_says_what_a_node_makes_and_of_what():
    sampler = {"_target_": "optuna.samplers.TPESampler", "_partial_": True}
    node = {"_target_": "runner.strategies.optuna.OptunaStrategy", "sampler": sampler, "n": 3}
    assert text.name(node) == "OptunaStrategy(TPESampler)"


def test_sentences_that_differ_in_numbers_only_are_counted_as_one():
    given = ["b", "layer1.0 has 5.5 of 8", "a", "layer12.1 has 7 of 16", "a", "layer2.0 has 6 of 8"]
    assert text.alike(given) == [(3, "layer1.0 has 5.5 of 8"), (2, "a"), (1, "b")]
    assert text.alike([]) == []


def test_a_figure_has_its_deviation_or_half_the_range_it_was_measured_in():
    metrics = {"latency": 1.93e-3, "latency/noise": 0.06, "acc": 0.5, "params": 1200.0}
    assert text.figure_of("latency", metrics) == "1.93 ms ±57.9 us"
    assert text.figure_of("latency", metrics, {"latency": 2e-5}) == "1.93 ms ±20.0 us"
    assert text.figure_of("acc", metrics, {"acc": 0.01}) == "0.5000 ±0.0100"
    assert text.figure_of("params", metrics, {}) == "1.20k"
