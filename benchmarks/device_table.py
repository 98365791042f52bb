"""The table of `device.py`: plain text of at most 79 columns, from the figures alone."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
WIDTH = 79
WAYS = {  # of training several models, as the columns are headed
    "single": "one by one", "cgo": "cgo", "graphs": "graphs", "fused_graph": "cgo graph",
    "processes": "processes",
}  # fmt: skip


def table(found: Row) -> str:
    """All that was found."""
    return "\n".join(_lines(found))


def _lines(found: Row) -> Iterator[str]:
    quick = ", quick: figures mean nothing" if found["quick"] else ""
    yield f"Device benchmark, {found['date']}{quick}"
    yield from (f"  {name:12} {value}" for name, value in found["machine"].items())
    if found["missing"]:
        text = (
            f"Not installed here: {', '.join(found['missing'])}. Where there is a network: pip "
            f"install --target FOLDER {' '.join(found['missing'])}; then PYTHONPATH=FOLDER."
        )
        yield from ["", *textwrap.wrap(text, WIDTH)]
    yield from ["", *_parts(found["parts"])]
    checks = [(part, row) for part, one in found["parts"].items() for row in one.get("checks", ())]
    if checks:
        yield from ["", *_checks(checks)]
    timings = [row for one in found["parts"].values() for row in one.get("timings", ())]
    for title, field, digits in TIMED:
        if any(row.get(field) for row in timings):
            yield from ["", title, *_timings(timings, field, digits)]
    yield from ["", *_end(found, [row for _, row in checks])]


def _parts(parts: Mapping[str, Row]) -> Iterator[str]:
    yield f"{'part':10} {'state':8} {'seconds':>14}"
    for name, one in parts.items():
        time = f"{one['seconds']:.1f} of {one['share']:.0f}" if "seconds" in one else ""
        yield f"{name:10} {one['state']:8} {time:>14}"
        if why := one.get("why"):
            yield from _indented(f"{one['state']}: {why}")
        for row in one.get("skipped", ()):
            yield from _indented(f"{row['name']}: skipped: {row['why']}")
        for note in one.get("notes", ()):
            yield from _indented(note)


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="      ")


def _checks(checks: Sequence[tuple[str, Row]]) -> Iterator[str]:
    yield f"{'check':48} {'measured':>11} {'at most':>9} verdict"
    last = ""
    for part, row in checks:
        if part != last:
            yield f"{part}:"
            last = part
        verdict = "ok" if row["met"] else "FAILED"
        figure = f"{row['figure']:.2g}" if "figure" in row else ""
        limit = f"{row['limit']:g} {row['unit']}".strip() if "figure" in row else ""
        *head, tail = textwrap.wrap(row["name"], 46)
        yield from (f"  {line}" for line in head)
        yield f"  {tail:46} {figure:>11} {limit:>9} {verdict}"
        if row.get("why"):
            yield from _indented(row["why"])


def _timings(rows: Sequence[Row], field: str, digits: int) -> Iterator[str]:
    yield f"{'':12} {'K':>3}" + "".join(f" {name:>11}" for name in WAYS.values())
    for row in rows:
        cells = [row.get(field, {}).get(way) for way in WAYS]
        texts = ("-" if cell is None else f"{cell:.{digits}f}" for cell in cells)
        name = row["case"].partition(",")[0][:12]
        yield f"{name:12} {row['models']:>3}" + "".join(f" {t:>11}" for t in texts)


TIMED = [
    ("Milliseconds for a step of all K models, medians", "ms", 3),
    ("Times as fast as one by one, medians of rounds", "speedup", 2),
    ("Peak memory of a way on the device, MiB (processes: not known)", "memory", 1),
]


def _end(found: Row, checks: Iterable[Row]) -> Iterator[str]:
    verdicts = [bool(row["met"]) for row in checks]
    states = [one["state"] for one in found["parts"].values()]
    counts = {name: states.count(name) for name in ("done", "cut", "failed", "skipped", "waiting")}
    parts = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    time = f"{found['seconds']:.0f} s of at most {found['limit']:g}"
    yield f"Parts: {parts}. Checks: {sum(verdicts)} of {len(verdicts)} ok. {time}."
