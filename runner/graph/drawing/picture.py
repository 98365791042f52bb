"""Draws the dataflow of a model as an SVG picture, from top to bottom."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import final

from runner.graph.drawing.caption import TIMES
from runner.graph.drawing.layered import GUTTER, LayeredLayout, LayoutNode, Wire, lay_out
from runner.graph.drawing.scene import Item, Scene, scene_of, size_of
from runner.graph.interpreter.shape_propagation import Shapes
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Spec

MANY, DEEP = 170, 12  # limits of boxes and of levels if no depth is set
WIDE = 1600  # pixels; wider pictures are scaled down
SCREEN = 1.6  # aspect ratio: width / height
BOX, SMALL, SEAM, PAD, HEAD = 22.0, 13.0, 2.0, 12.0, 22.0
LETTER, THIN = 6.3, 5.2  # approximate width of a letter

# kind: (fill, fill in dark mode)
COLOURS: Mapping[str, tuple[str, str]] = {
    "conv": ("#cfe2ff", "#1f3f73"),
    "norm": ("#e4dcf7", "#43347a"),
    "activation": ("#ffe8b8", "#6a5216"),
    "pooling": ("#c9efdf", "#1d5a45"),
    "linear": ("#ffd9d4", "#74352d"),
    "attention": ("#fbd3e7", "#722a53"),
    "other": ("#e8eaed", "#3c4148"),
    "merge": ("#ffffff", "#1a1d22"),
    "frame": ("#f8f9fa", "#1c2026"),
    "choice": ("#f3ecff", "#2d2247"),
}


def svg(graph: Graph, *, depth: int | None = None, shapes: Shapes | None = None) -> str:
    """Returns the picture of a graph as SVG. Units at `depth` are drawn as single boxes.

    By default, the depth is the largest with few enough boxes. Edges are labelled with the shapes
    known from `shape_propagation.propagate`; pass its result if units share functions.
    """
    scene = _scene(graph, depth, shapes)
    scene.is_root = True
    drawing = _well_shaped(scene)
    legend, legend_width = _legend(scene)
    width = max(drawing.width, legend_width, 320.0) + 2 * PAD
    top = 52.0
    total = top + drawing.height + 56
    units = graph.grades()
    counts = ", ".join(f"{n} {grade}" for grade, n in units.items() if n)
    scale = min(1.0, WIDE / width)
    left = (width - drawing.width) / 2
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {total:.0f}" '
        f'width="{width * scale:.0f}" height="{total * scale:.0f}" role="img">',
        f"<title>{_text(graph.root.name)}</title>",
        _STYLE,
        f'<rect class="page" width="{width:.0f}" height="{total:.0f}"/>',
        f'<text class="h" x="{PAD}" y="24">{_text(graph.root.name)}</text>',
        f'<text class="s" x="{PAD}" y="40">{_text(f"units: {counts}")}</text>',
        f'<g transform="translate({left:.1f},{top})">',
        *drawing.parts,
        "</g>",
        f'<g transform="translate({PAD},{total - 26:.0f})">{legend}</g>',
        "</svg>",
    ])  # fmt: skip


def _scene(graph: Graph, depth: int | None, shapes: Shapes | None) -> Scene:
    if depth is not None:
        return scene_of(graph, depth, shapes)
    scenes = (scene_of(graph, level, shapes) for level in range(1, DEEP))
    small = [*takewhile(lambda scene: size_of(scene) <= MANY, scenes)]
    return small[-1] if small else scene_of(graph, 0, shapes)


# Drawing a scene


@final
@dataclass
class Drawing:
    """Elements of an SVG with their size; the origin is their upper left corner."""

    parts: list[str]
    width: float
    height: float


@final
@dataclass(eq=False)
class _Stack:
    """A chain of adjacent boxes, or a single item."""

    items: list[Item]
    spot: LayoutNode
    inner: Drawing | None = None


def _well_shaped(scene: Scene) -> Drawing:
    """Draws a scene with the number of columns that best fits a screen."""
    drawings = [_drawn(scene, 1e9)]
    for columns in range(2, 7):
        drawings.append(_drawn(scene, max(drawings[0].height / columns * 1.08, 420.0)))
    return min(drawings, key=lambda d: max(d.width / SCREEN, d.height))


def _drawn(scene: Scene, height: float) -> Drawing:
    stacks = [_stack(chain, height) for chain in _chains(scene)]
    if not scene.flows:
        return _side_by_side(stacks)
    ports = [_Stack([port], LayoutNode(1.0, 1.0)) for port in (scene.start, scene.end)]
    every = [ports[0], *stacks, ports[1]]
    of = {item: stack for stack in every for item in stack.items}
    wires = [
        Wire(of[source].spot, stack.spot)
        for stack in every
        for source in stack.items[0].sources
        if source in of
    ]
    layout = lay_out([stack.spot for stack in every], wires, height)
    parts = [_wire(wire, layout) for wire in layout.wires]
    for stack in every:
        if scene.is_root or not _is_last(stack, scene):
            parts += _labels(stack, wires)
    for stack in stacks:
        parts += _stack_parts(stack)
    return Drawing(parts, layout.width, layout.height)


def _chains(scene: Scene) -> Iterator[list[Item]]:
    """Yields the items in chains: runs of boxes of which each is the only input of the next."""
    users: dict[Item, int] = {}
    for item in (*scene.items, scene.end):
        for source in item.sources:
            users[source] = users.get(source, 0) + 1
    chains: dict[Item, list[Item]] = {}  # by their last items
    for item in scene.items:
        before = [*item.sources]
        chain = chains.get(before[0]) if len(before) == 1 and scene.flows else None
        if chain is not None and users[before[0]] == 1 and _go_together(before[0], item):
            chains[item] = [*chains.pop(before[0]), item]
        else:
            chains[item] = [item]
    yield from chains.values()


def _go_together(one: Item, other: Item) -> bool:
    return _is_box(one) and _is_box(other) and one.dashed == other.dashed


def _is_box(item: Item) -> bool:
    return item.scene is None and item.kind not in ("merge", "port")


def _stack(items: list[Item], height: float) -> _Stack:
    first = items[0]
    if first.kind == "merge":
        return _Stack(items, LayoutNode(max(22.0, 14 + LETTER * len(first.text)), 22.0))
    if first.scene is not None:
        inner = _drawn(first.scene, max(height, 760.0))
        shown = max(LETTER * len(first.text), THIN * len(_cut(first.small, 44))) + 2 * PAD
        head = HEAD + (SMALL if first.small else 0)
        width = max(inner.width + 2 * PAD, shown, 60.0)
        return _Stack(items, LayoutNode(width, inner.height + head + PAD), inner)
    width = max(_box_width(item) for item in items)
    tall = sum(_box_height(item) for item in items) + SEAM * (len(items) - 1)
    return _Stack(items, LayoutNode(width, tall))


def _box_width(item: Item) -> float:
    return max(LETTER * len(_cut(item.text, 40)), THIN * len(_cut(item.small, 44)), 44.0) + 16


def _box_height(item: Item) -> float:
    return BOX + (SMALL if item.small else 0)


def _side_by_side(stacks: Sequence[_Stack]) -> Drawing:
    """Draws items without edges in lines, which wrap like text."""
    parts: list[str] = []
    x = y = tall = wide = 0.0
    for stack in stacks:
        if x and x + stack.spot.width > 640:
            x, y, tall = 0.0, y + tall + 10, 0.0
        stack.spot.x, stack.spot.y = x, y + 2
        parts += _stack_parts(stack)
        x += stack.spot.width + 10
        wide, tall = max(wide, x - 10), max(tall, stack.spot.height)
    return Drawing(parts, wide, y + tall + 4)


# Parts


def _stack_parts(stack: _Stack) -> list[str]:
    spot, first = stack.spot, stack.items[0]
    if first.kind == "merge":
        return [
            "<g>" + _hint(first),
            f'<rect class="box merge{_marks(first)}" x="{spot.x:.1f}" y="{spot.y:.1f}" '
            f'width="{spot.width:.1f}" height="22" rx="11"/>',
            f'<text class="t m" x="{spot.middle:.1f}" y="{spot.y + 15:.1f}">'
            f"{_text(first.text)}</text></g>",
        ]
    if stack.inner is not None:
        return _frame(first, spot, stack.inner)
    parts, y = [], spot.y
    for item in stack.items:
        parts += _box(item, spot.x, y, spot.width)
        y += _box_height(item) + SEAM
    return parts


def _box(item: Item, x: float, y: float, width: float) -> list[str]:
    middle = x + width / 2
    small = (
        f'<text class="s m" x="{middle:.1f}" y="{y + 28:.1f}">{_text(_cut(item.small, 44))}</text>'
    )
    return [
        f"<g>{_hint(item)}"
        f'<rect class="box {item.kind}{_marks(item)}" x="{x:.1f}" y="{y:.1f}" '
        f'width="{width:.1f}" height="{_box_height(item):.1f}" rx="4"/>'
        f'<text class="t m" x="{middle:.1f}" y="{y + 15:.1f}">{_text(_cut(item.text, 40))}</text>'
        f"{small if item.small else ''}</g>"
    ]


def _frame(item: Item, spot: LayoutNode, inner: Drawing) -> list[str]:
    head = HEAD + (SMALL if item.small else 0)
    left = spot.x + (spot.width - inner.width) / 2
    parts = [
        f"<g>{_hint(item)}"
        f'<rect class="frame {item.kind}{_marks(item)}" x="{spot.x:.1f}" y="{spot.y:.1f}" '
        f'width="{spot.width:.1f}" height="{spot.height:.1f}" rx="8"/></g>',
        f'<text class="f" x="{spot.x + 8:.1f}" y="{spot.y + 15:.1f}">{_text(item.text)}</text>',
    ]
    if item.small:
        shown = _text(_cut(item.small, 44))
        parts.append(f'<text class="s" x="{spot.x + 8:.1f}" y="{spot.y + 28:.1f}">{shown}</text>')
    return [
        *parts,
        f'<g transform="translate({left:.1f},{spot.y + head:.1f})">',
        *inner.parts,
        "</g>",
    ]


def _marks(item: Item) -> str:
    return (" changed" if item.changed else "") + (" dashed" if item.dashed else "")


def _hint(item: Item) -> str:
    return f"<title>{_text(item.hint)}</title>" if item.hint else ""


def _wire(wire: Wire, layout: LayeredLayout) -> str:
    """Returns a rounded line through the lanes of a wire; between columns, through the gutter."""
    source, *others = wire.spots
    path = f"M{source.middle:.1f},{source.bottom:.1f}"
    x, y, column = source.middle, source.bottom, source.column
    for spot in others:
        if spot.column != column:
            gutter = layout.lefts[spot.column] - GUTTER / 2
            low, high = layout.height + 8, spot.y - 10
            path += f"V{low - 6:.1f}Q{x:.1f},{low:.1f} {x + 6:.1f},{low:.1f}H{gutter - 6:.1f}"
            path += f"Q{gutter:.1f},{low:.1f} {gutter:.1f},{low - 6:.1f}V{high + 6:.1f}"
            path += f"Q{gutter:.1f},{high:.1f} {gutter + 6:.1f},{high:.1f}H{spot.middle - 6:.1f}"
            path += f"Q{spot.middle:.1f},{high:.1f} {spot.middle:.1f},{high + 6:.1f}V{spot.y:.1f}"
        elif abs(spot.middle - x) < 0.5:
            path += f"V{spot.y:.1f}"
        else:
            half = (y + spot.y) / 2
            path += (
                f"C{x:.1f},{half:.1f} {spot.middle:.1f},{half:.1f} {spot.middle:.1f},{spot.y:.1f}"
            )
        if spot is not others[-1]:
            path += f"V{spot.bottom:.1f}"
        x, y, column = spot.middle, spot.bottom, spot.column
    arrow = "" if others[-1].height <= 1 else ' marker-end="url(#arrow)"'
    return f'<path class="e" d="{path}"{arrow}/>'


def _labels(stack: _Stack, wires: Sequence[Wire]) -> list[str]:
    """Returns a label with the output shape of a stack, if it differs from the input shapes."""
    last, spot = stack.items[-1], stack.spot
    if last.spec is None or not any(wire.source is spot for wire in wires):
        return []
    before = [source.spec for source in stack.items[0].sources]
    if last.kind != "port" and last.spec in before:
        return []
    x, y = spot.middle + 5, spot.bottom + 12
    return [f'<text class="s" x="{x:.1f}" y="{y:.1f}">{_text(_shape(last.spec))}</text>']


def _is_last(stack: _Stack, scene: Scene) -> bool:
    """Returns whether the label of a stack is that of the frame around it: at its start or end."""
    return [*scene.end.sources] == [stack.items[-1]] or stack.items[-1] is scene.start


def _shape(spec: Spec) -> str:
    shown = TIMES.join(map(str, spec.shape)) or "number"
    return shown if spec.dtype == "float32" else f"{shown} {spec.dtype}"


def _legend(scene: Scene) -> tuple[str, float]:
    """Returns the legend of the kinds in a scene, and its width."""
    items = [*_all_items(scene)]
    kinds = {item.kind for item in items} - {"merge", "frame", "port"}
    parts, x = [], 0.0
    marks = [("frame changed", "changed", any(item.changed for item in items)),
             ("frame dashed", "on some paths", any(item.dashed for item in items))]  # fmt: skip
    shown = [(kind, kind) for kind in COLOURS if kind in kinds]
    for css, text in shown + [(css, text) for css, text, is_there in marks if is_there]:
        parts.append(f'<rect class="box {css}" x="{x:.1f}" y="0" width="12" height="12" rx="3"/>')
        parts.append(f'<text class="s" x="{x + 17:.1f}" y="10">{text}</text>')
        x += 17 + 6 * len(text) + 16
    return "".join(parts), x


def _all_items(scene: Scene) -> Iterator[Item]:
    for item in scene.items:
        yield item
        if item.scene is not None:
            yield from _all_items(item.scene)


# Texts

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _text(text: str) -> str:
    """Returns a text as XML: escaped, with replacements for characters that XML forbids."""
    return html.escape(_ILLEGAL.sub("\ufffd", text))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _rules(place: int) -> str:
    return "\n".join(f".{kind}{{fill:{fills[place]}}}" for kind, fills in COLOURS.items())


_STYLE = f"""<style>
text{{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1d2127}}
.h{{font-size:16px;font-weight:600}}
.t{{font-size:11px}}
.f{{font-size:11px;font-weight:600}}
.s{{font-size:9.5px;fill:#5c6570}}
.m{{text-anchor:middle}}
.page{{fill:#ffffff}}
.e{{fill:none;stroke:#7b8591;stroke-width:1.2}}
.tip{{fill:#7b8591}}
.box,.frame{{stroke:#aab2bc;stroke-width:1}}
{_rules(0)}
.choice{{stroke:#7c3aed;stroke-width:1.5;stroke-dasharray:5 3}}
.dashed{{stroke:#5c6570;stroke-dasharray:3 2}}
.changed{{stroke:#e8590c;stroke-width:2.2}}
@media (prefers-color-scheme: dark) {{
text{{fill:#e8eaed}}
.s{{fill:#a3adb8}}
.page{{fill:#121418}}
.box,.frame{{stroke:#545d68}}
{_rules(1)}
.choice{{stroke:#a78bfa}}
.dashed{{stroke:#a3adb8}}
.changed{{stroke:#ff922b}}
}}
</style>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6"
 orient="auto"><path class="tip" d="M0,0.5L8,4L0,7.5z"/></marker></defs>"""
