"""Charts are well-formed SVG that shows each trial once, inside its frame."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported import HOSTILE

from runner.report.charts import HEIGHT, WIDTH, Axis, Chart, Mark, Stroke, centred

SVG = "{http://www.w3.org/2000/svg}"
finite = st.floats(-1e300, 1e300)


def parsed(chart: Chart) -> ElementTree.Element:
    text = chart.svg().replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return ElementTree.fromstring(text)


def test_each_mark_and_line_names_its_trial():
    x, y = Axis.counting("n", 3), Axis.around("score", [0.0, 1.0], "score")
    chart = Chart("t", x, y, [Stroke([(1, 0), (2, 1)], 5)], [Mark(1, 0, 7), Mark(3, 1, 8, "best")])
    found = parsed(chart)
    assert [mark.get("data-trial") for mark in found.iter(f"{SVG}circle")] == ["7", "8"]
    assert [line.get("data-trial") for line in found.iter(f"{SVG}polyline")] == ["5"]


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=8))
def test_whatever_the_values_are_all_is_inside_the_frame(points):
    x, y = (Axis.around("a", axis, "a") for axis in zip(*points, strict=True))
    marks = [Mark(a, b, i) for i, (a, b) in enumerate([*points, (math.nan, math.inf)])]
    for circle in parsed(Chart("t", x, y, (), marks)).iter(f"{SVG}circle"):
        assert 0 <= float(circle.get("cx")) <= WIDTH
        assert 0 <= float(circle.get("cy")) <= HEIGHT


def test_hostile_names_are_text():
    chart = Chart(HOSTILE, Axis(HOSTILE, 0, 1, HOSTILE), Axis(HOSTILE, 0, 1, HOSTILE))
    found = parsed(chart)
    assert {element.tag for element in found.iter()} == {
        f"{SVG}{tag}" for tag in ("svg", "line", "text", "title")
    }
    assert "\\u202e" in found.get("aria-label")


def test_ticks_are_round():
    assert Axis("a", 0.31, 0.98, "a").ticks() == pytest.approx([0.4, 0.6, 0.8])
    assert Axis.counting("n", 10).ticks() == [2, 4, 6, 8, 10]
    assert all(tick.is_integer() for tick in Axis.counting("n", 2).ticks())


def test_one_value_is_in_the_middle_of_its_axis():
    counted, around = Axis.counting("n", 1), Axis.around("a", [0.8], "a")
    assert (counted.low, counted.high, counted.ticks()) == (0.5, 1.5, [1])
    assert (around.low + around.high) / 2 == pytest.approx(0.8)
    assert around.low < 0.8 < around.high


def test_a_step_line_is_level_until_the_next_point():
    chart = Chart("t", Axis("x", 0, 1, "x"), Axis("y", 0, 1, "y"),
                  [Stroke([(0, 0), (1, 1)], steps=True)])  # fmt: skip
    [line] = parsed(chart).iter(f"{SVG}polyline")
    (_, first), (x, corner), (last, _) = (p.split(",") for p in line.get("points").split())
    assert corner == first
    assert x == last


def test_an_axis_shows_all_but_the_far_away():
    near = [0.9 + i / 1000 for i in range(50)]
    low, high, best = centred([*near, -1e6], [1.5])
    assert (low, high, best) == (0.9, near[-1], 1.5)
    assert centred([]) == []
