"""Formats names, numbers and samples as short text that is safe to print. No rich."""

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from runner.space.choice import JsonValue
from runner.space.sample import Sample

T = TypeVar("T")
LONG = 40  # characters of a value; longer ones are cut
# The metric that tells the spread of a measured one: its interquartile range, relative to it.
NOISE = "{}/noise"
UNBOUNDED = 100_000  # columns of an output that is no terminal: nothing is cut or wrapped


def clean(text: str) -> str:
    """Returns text on one line, with control, bidi and other invisible characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def sentence(text: str) -> str:
    """Returns clean text with whitespace collapsed to single spaces."""
    return clean(" ".join(text.split()))


def value(item: JsonValue, *, whole: bool = False) -> str:
    """Formats a value of a sample: strings unchanged, numbers short, all others as JSON. A long one
    is cut, unless `whole`."""
    match item:
        case str():
            text = clean(item)
        case float():
            text = f"{item:.4g}"
        case _:
            text = json.dumps(item, separators=(",", ":"))
    return text if whole else cut(text, LONG)


def cut(text: str, length: int) -> str:
    """Truncates text, marking the omission with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def kind(sentence: str) -> str:
    """Returns a text that is equal for sentences that differ only in numbers."""
    return re.sub(r"\d[\d.]*", "0", sentence)


def by_kind(items: Iterable[T], said: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    """Groups items of which is said what differs only in numbers: the first sentence of each group
    and its items, the largest group first."""
    kinds: dict[str, tuple[str, list[T]]] = {}
    for item in items:
        sentence = said(item)
        kinds.setdefault(kind(sentence), (sentence, []))[1].append(item)
    return sorted(kinds.values(), key=lambda group: -len(group[1]))


def alike(sentences: Iterable[str]) -> list[tuple[int, str]]:
    """Groups sentences that differ only in numbers: the size of each group and its first sentence,
    most frequent first."""
    return [(len(same), first) for first, same in by_kind(sentences, str)]


def pairs(sample: Sample, labels: Collection[str] | None = None, *, whole: bool = False) -> str:
    """Formats a sample, or these labels of it, as `label=value label=value`. Long values are cut,
    unless `whole`."""
    shown = (item for item in sample.items() if labels is None or item[0] in labels)
    return " ".join(f"{clean(label)}={value(item, whole=whole)}" for label, item in shown)


def number(figure: float) -> str:
    """Formats a metric with four digits: 0.9712, 12.3457, 1.235e+04."""
    if figure == 0 or 0.001 <= abs(figure) < 100:
        return f"{figure:.4f}"
    return f"{figure:.4g}"


def figure(name: str, value: float, deviation: float | None = None) -> str:
    """Formats a metric as its name asks for: counts of parameters, seconds, bytes, or a number.
    With the standard deviation of several: `0.9530 ±0.0041`."""
    form = FORMS.get(name, number)
    return form(value) if deviation is None else f"{form(value)} ±{form(deviation)}"


def figure_of(
    name: str, metrics: Mapping[str, float], deviations: Mapping[str, float] | None = None
) -> str:
    """Formats one of some metrics; with its standard deviation if there is one, or else with half
    the interquartile range of how it was measured: `1.93 ms ±57.9 us`."""
    value, noise = metrics[name], metrics.get(NOISE.format(name))
    spread = None if noise is None else value * noise / 2
    return figure(name, value, (deviations or {}).get(name, spread))


def seconds(value: float) -> str:
    """Formats a short time with three digits: 950 us, 2.35 ms, 1.20 s."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= size:
            return f"{three_digits(value / size)} {unit}"
    return f"{value * 1e9:.3g} ns"


def size(value: float) -> str:
    """Formats bytes with three digits: 950 B, 12.3 kB, 1.20 GB."""
    for unit_size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit_size:
            return f"{three_digits(value / unit_size)} {unit}"
    return f"{value:.0f} B"


def three_digits(value: float) -> str:
    """Formats a number from 1 to 1000 with three digits: 1.20, 12.3, 950."""
    return f"{value:.{max(2 - int(math.log10(value)), 0)}f}"


def compact(figure: float) -> str:
    """Formats a count with three digits: 950, 12.3k, 1.20M."""
    figure = float(f"{figure:.3g}")
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if figure >= size:
            digits = max(2 - int(math.log10(figure / size)), 0)
            return f"{figure / size:.{digits}f}{unit}"
    return f"{figure:.0f}"


def large(count: int | float) -> str:
    """Formats a count of any size: 12,345,678, 1.2e14, infinitely many."""
    if count == math.inf:
        return "infinitely many"
    return f"{count:,}" if count < 1e9 else f"{Decimal(count):.1e}".replace("e+", "e")


def near(path: Path) -> Path:
    """Returns a path relative to the working directory, if it lies inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def counted(count: int, noun: str) -> str:
    """Formats a count and its noun: 1 trial, 2 trials."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def clock(seconds: float) -> str:
    """Formats seconds as 0:07, 12:34 or 2:03:04."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Formats seconds as 4.2 s, or as a clock from one minute on."""
    return f"{seconds:.1f} s" if seconds < 59.95 else clock(round(seconds))


def name(node: Mapping[str, Any]) -> str:
    """Names the target of a config node and of its inner nodes: `OptunaStrategy(TPESampler)`."""
    inner = [name(part) for part in node.values() if isinstance(part, dict) and "_target_" in part]
    outer = clean(str(node["_target_"]).rpartition(".")[2])
    return f"{outer}({', '.join(inner)})" if inner else outer


FORMS: Mapping[str, Callable[[float], str]] = {
    "params": compact, "flops": compact, "latency": seconds, "memory": size, "size": size,
    "inherited": "{:.0%}".format,
}  # fmt: skip
