"""Layered graph layout: nodes in rows, each below its predecessors (Sugiyama et al. 1981).

Edges that skip rows pass through lanes, which are dummy nodes. Tall layouts are wrapped into
columns at rows that a single edge enters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import final

GAP, LANE, ROW, GUTTER, MARGIN = 18.0, 10.0, 26.0, 44.0, 14.0
SWEEPS = 9  # odd, so that the last one goes down


@final
@dataclass(eq=False)
class LayoutNode:
    """A node with a size; `x` and `y` of its upper left corner are set by the layout."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    above: list["LayoutNode"] = field(default_factory=list)
    below: list["LayoutNode"] = field(default_factory=list)
    row: int = 0
    column: int = 0

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


@final
@dataclass(eq=False)
class Wire:
    """An edge, and the nodes that it passes through: its ends, and the lanes between."""

    source: LayoutNode
    target: LayoutNode
    lanes: list[LayoutNode] = field(default_factory=list)

    @property
    def spots(self) -> list[LayoutNode]:
        return [self.source, *self.lanes, self.target]


@final
@dataclass
class LayeredLayout:
    """The routed wires, and the size of the layout."""

    wires: list[Wire]
    width: float
    height: float
    lefts: list[float]  # x of each column


def lay_out(spots: Sequence[LayoutNode], wires: Sequence[Wire], height: float) -> LayeredLayout:
    """Sets the positions of all spots, which must be in topological order.

    Layouts taller than `height` are wrapped into columns.
    """
    leaving: dict[LayoutNode, list[LayoutNode]] = {spot: [] for spot in spots}
    for wire in wires:
        leaving[wire.source].append(wire.target)
    entered = {wire.target for wire in wires}
    for number, spot in enumerate(spots):
        if number and spot not in entered:
            spot.row = 1  # nodes without predecessors are below the start
        for target in leaving[spot]:
            target.row = max(target.row, spot.row + 1)
    rows: list[list[LayoutNode]] = [[] for _ in range(max((s.row for s in spots), default=0) + 1)]
    for spot in spots:
        rows[spot.row].append(spot)
    _add_lanes(wires, rows)
    _order(rows)
    _place(rows)
    return _wrapped(rows, [*wires], height)


def _add_lanes(wires: Sequence[Wire], rows: list[list[LayoutNode]]) -> None:
    """Adds lanes to the rows between the ends of wires; wires of one source share lanes."""
    lanes: dict[tuple[LayoutNode, int], LayoutNode] = {}
    joined: set[tuple[LayoutNode, LayoutNode]] = set()
    for wire in wires:
        for row in range(wire.source.row + 1, wire.target.row):
            place = (wire.source, row)
            if place not in lanes:
                lanes[place] = LayoutNode(LANE, 0.0, row=row)
                rows[row].append(lanes[place])
            wire.lanes.append(lanes[place])
        for upper, lower in pairwise(wire.spots):
            if (upper, lower) not in joined:
                joined.add((upper, lower))
                upper.below.append(lower)
                lower.above.append(upper)


def _order(rows: list[list[LayoutNode]]) -> None:
    """Orders each row by the barycentres of neighbours, in sweeps down and up."""
    for sweep in range(6):
        down = sweep % 2 == 0
        places = {spot: i / max(len(row), 1) for row in rows for i, spot in enumerate(row)}
        for row in rows if down else reversed(rows):
            known = {spot: _mean([places[s] for s in (spot.above if down else spot.below)],
                                 places[spot]) for spot in row}  # fmt: skip
            row.sort(key=known.__getitem__)
            places.update((spot, (i + 0.5) / len(row)) for i, spot in enumerate(row))


def _mean(numbers: list[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _place(rows: list[list[LayoutNode]]) -> None:
    """Sets x, as close as possible to the mean of the neighbours, and y, row by row."""
    for row in rows:
        _spread(row, [0.0] * len(row))
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted = []
            for spot in row:
                near = spot.above if down else spot.below
                if sweep == SWEEPS - 1 and len(spot.below) != 1:
                    near = spot.above
                things = [other for other in near if other.height] or near  # lanes come last
                wanted.append(_mean([other.middle for other in things], spot.middle))
            _spread(row, wanted)
    y = 0.0
    for row in rows:
        tall = max((spot.height for spot in row), default=0.0)
        for spot in row:
            spot.y = y if spot.height == 0 else y + tall - spot.height
            spot.height = spot.height or tall
        y += tall + ROW


def _spread(row: list[LayoutNode], wanted: list[float]) -> None:
    """Moves the nodes of a row to the wanted middles, without overlap (pool adjacent violators)."""
    groups: list[tuple[float, float, list[LayoutNode]]] = []  # left end, width, nodes
    for spot, middle in zip(row, wanted, strict=True):
        group = (middle - spot.width / 2, spot.width, [spot])
        while groups and groups[-1][0] + groups[-1][1] + GAP > group[0]:
            left, width, spots = groups.pop()
            offset, both = width + GAP, len(spots) + len(group[2])
            start = (left * len(spots) + (group[0] - offset) * len(group[2])) / both
            group = (start, offset + group[1], spots + group[2])
        groups.append(group)
    for left, _, spots in groups:
        for spot in spots:
            spot.x = left
            left += spot.width + GAP


def _wrapped(rows: list[list[LayoutNode]], wires: list[Wire], height: float) -> LayeredLayout:
    """Breaks the rows into columns, no taller than `height` where possible."""
    columns: list[list[list[LayoutNode]]] = [[]]
    top = 0.0
    for number, row in enumerate(rows):
        bottom = max((spot.bottom for spot in row), default=top)
        if columns[-1] and bottom - top > height and _can_break(rows, number):
            columns.append([])
            top = min((spot.y for spot in row), default=bottom)
        columns[-1].append(row)
    x, tallest = 0.0, 0.0
    lefts = []
    for number, column in enumerate(columns):
        spots = [spot for row in column for spot in row]
        left, top = min((s.x for s in spots), default=0.0), min((s.y for s in spots), default=0.0)
        for spot in spots:
            spot.x += x - left
            spot.y += MARGIN * (len(columns) > 1) - top
            spot.column = number
        lefts.append(x)
        x = max((s.x + s.width for s in spots), default=x) + GUTTER
        tallest = max(tallest, *(s.bottom for s in spots))
    return LayeredLayout(wires, x - GUTTER, tallest, lefts)


def _can_break(rows: list[list[LayoutNode]], number: int) -> bool:
    """Returns whether a column may begin at a row: a single edge enters it, and it is inside."""
    crossing = sum(len(spot.above) for spot in rows[number])
    return crossing == 1 and 1 < number < len(rows) - 1
