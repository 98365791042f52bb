"""Charts as SVG, which need no library: lines and points on two axes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import final

from runner.display import format as text
from runner.report.embedded import escaped

WIDTH, HEIGHT = 640.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 84.0, 16.0, 14.0, 50.0
TICKS = 5  # on an axis, about
TITLE = 48  # characters of the name of an axis
CENTRE = 0.04, 0.96  # quantiles between which an axis shows everything

Vertex = tuple[float, float]


@final
@dataclass(frozen=True)
class Mark:
    """A point that stands for a trial. `style` is a class of `style.css`."""

    x: float
    y: float
    trial: int
    style: str = ""


@final
@dataclass(frozen=True)
class Stroke:
    """A line; that of a trial can be chosen like its point. `style` is a class of `style.css`."""

    points: Sequence[Vertex]
    trial: int | None = None
    style: str = ""
    steps: bool = False  # whether it goes on level until the next point


@final
@dataclass(frozen=True)
class Axis:
    """An axis: its name, its ends, and how the figures along it are written."""

    name: str
    low: float
    high: float
    metric: str = ""  # figures are written as those of this metric; "": whole numbers

    @classmethod
    def around(cls, name: str, values: Iterable[float], metric: str = "") -> "Axis":
        """Returns an axis that shows all of some values, with room at its ends."""
        found = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(found), max(found)
        room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        return cls(name, low - room, high + room, metric)

    @classmethod
    def counting(cls, name: str, last: int) -> "Axis":
        """Returns an axis of whole numbers from 1 on; a single one is in its middle."""
        room = 0.02 * (last - 1) or 0.5
        return cls(name, 1.0 - room, last + room)

    def ticks(self) -> list[float]:
        """Returns round numbers along the axis."""
        step = _round_step((self.high - self.low) / TICKS)
        step = step if self.metric else max(step, 1.0)
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, math.floor(self.high / step) + 1)]

    def figure(self, value: float) -> str:
        """Formats a tick: as short as the metric allows."""
        if not self.metric:
            return f"{value:.0f}"
        if self.metric in text.FORMS:
            return text.figure(self.metric, value) if value > 0 else f"{value:.3g}"
        return f"{value:.4g}"


@final
@dataclass(frozen=True)
class Chart:
    """A chart: axes, lines, and points above them."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Stroke] = ()
    marks: Sequence[Mark] = field(default=())

    def svg(self) -> str:
        """Returns the chart as SVG without styles of its own, for `style.css`. What lies beyond an
        axis is drawn at its end."""
        return "".join([
            f'<svg class="chart" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" '
            f'aria-label="{escaped(self.title)}">',
            *self._grid(),
            *map(self._line, self.lines),
            *map(self._mark, self.marks),
            "</svg>",
        ])  # fmt: skip

    def _grid(self) -> Iterable[str]:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for value in self.y.ticks():
            y = self._down(value)
            yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield (
                f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{escaped(self.y.figure(value))}</text>"
            )
        for value in self.x.ticks():
            x = self._across(value)
            yield (
                f'<text class="tick" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">'
                f"{escaped(self.x.figure(value))}</text>"
            )
        yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
        middle, height = (LEFT + right) / 2, (TOP + bottom) / 2
        yield (
            f'<text class="name" x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">'
            f"{_name(self.x)}</text>"
        )
        yield (
            f'<text class="name" transform="translate(13,{height:.0f}) rotate(-90)" '
            f'text-anchor="middle">{_name(self.y)}</text>'
        )

    def _line(self, line: Stroke) -> str:
        points = [*_stepped(line.points)] if line.steps else line.points
        path = " ".join(f"{self._across(x):.1f},{self._down(y):.1f}" for x, y in points)
        of = "" if line.trial is None else f' data-trial="{line.trial}"'
        return f'<polyline class="line {line.style}"{of} points="{path}"/>'

    def _mark(self, mark: Mark) -> str:
        x, y = self._across(mark.x), self._down(mark.y)
        size = 4.5 if mark.style else 3.2
        return (
            f'<circle class="mark {mark.style}" data-trial="{mark.trial}" cx="{x:.1f}" '
            f'cy="{y:.1f}" r="{size}"/>'
        )

    def _across(self, value: float) -> float:
        return LEFT + _part(self.x, value) * (WIDTH - LEFT - RIGHT)

    def _down(self, value: float) -> float:
        return HEIGHT - BOTTOM - _part(self.y, value) * (HEIGHT - TOP - BOTTOM)


def centred(values: Sequence[float], always: Iterable[float] = ()) -> list[float]:
    """Returns the lowest and highest of those values that an axis should show: all but a few far
    away, which would leave no room for the others; and what it must show `always`."""
    found = sorted(value for value in values if math.isfinite(value))
    if not found:
        return [*always]
    low, high = (found[round(part * (len(found) - 1))] for part in CENTRE)
    room = 1.5 * (high - low)
    near = [value for value in found if low - room <= value <= high + room]
    return [near[0], near[-1], *always]


def _name(axis: Axis) -> str:
    return f"{escaped(text.cut(text.clean(axis.name), TITLE))}<title>{escaped(axis.name)}</title>"


def _part(axis: Axis, value: float) -> float:
    if math.isnan(value):
        return 0.0
    return min(max((value - axis.low) / (axis.high - axis.low), 0.0), 1.0)


def _stepped(points: Sequence[Vertex]) -> Iterable[Vertex]:
    for i, (x, y) in enumerate(points):
        if i:
            yield x, points[i - 1][1]
        yield x, y


def _round_step(least: float) -> float:
    """Returns the least of 1, 2 and 5 times a power of ten that is at least so large."""
    if not (math.isfinite(least) and least > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next((n * power for n in (1, 2, 5) if n * power >= least * (1 - 1e-9)), 10 * power)
