"""Tables of a run: its best trials, the choices of a space, and refusals."""

import html as escaping
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from runner.display import format as text
from runner.goals import Goals
from runner.ranking import front, hypervolume, top, worst
from runner.space.choice import key
from runner.space.sample import Sample
from runner.space.structure import Part, Structure
from runner.trial import Gain, Trial

GAP = 2  # columns between two cells
SHARED = "All of these have"
INDENT = 4  # columns of indentation below a row
VALUE = 16  # columns in which a value can be read beside its name
REASON = 160  # characters of a reason; longer ones are cut
REASONS = 3  # number of reasons shown
LINES = 8, 8, 8, 2  # lines per sample, by rank; the last number applies to all further ones


def best_table(trials: Sequence[Trial], goals: Goals, k: int = 10) -> RenderableType:
    """Returns a table of the k best trials, best first, and a summary of all. With several
    objectives, these are trials of the front, spread over it if it is longer.

    It adapts to the width: less important columns are dropped first. Above it is the part of the
    samples that all trials shown have in common; each trial is followed by the rest of its sample.
    """
    best, refusals = top(trials, k), Fitted(lambda whole: Group(*_refusals(trials, whole)))
    summary = Text(_summary(trials)), refusals
    if not best:
        return Group(Text(_without_result(trials), style="yellow"), *summary)
    about = [Text(line) for line in (*_meaning(best), *_trade_off(trials, goals))]
    return Group(Text(), _Ranking(best, goals), Text(), *about, *summary)


@final
class Fitted:
    """A renderable that is made for the output: `make(whole)`, and `whole` says that nothing must
    be cut, since the output is no terminal."""

    def __init__(self, make: Callable[[bool], RenderableType]) -> None:
        self.make = make

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.make(options.max_width >= text.UNBOUNDED)


@final
class NamedValues:
    """Names with a value each: side by side, or one below the other where there is no room."""

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        self.rows = [(Text(text.clean(name)), Text(value)) for name, value in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names, values = (max((t.cell_len for t in column), default=0)
                         for column in zip(*self.rows, strict=True))  # fmt: skip
        if names + GAP + min(values, VALUE) > options.max_width:
            for name, value in self.rows:
                yield name
                yield _indented(value)
            return
        grid = Table.grid(padding=(0, GAP, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for row in self.rows:
            grid.add_row(*row)
        yield grid


def _without_result(trials: Sequence[Trial]) -> str:
    """Says that no trial has a result to compare, and why if they were stopped early."""
    if any(trial.partial and trial.scores for trial in trials):
        return "No trial has reached the highest rung: those of lower ones are not compared."
    early = sum(trial.stopped and trial.duplicate_of is None for trial in trials)
    if not early:
        return "No trial has a result."
    were = "1 was" if early == 1 else f"{early} were"
    return f"No trial finished: {were} stopped early, so there is no result to compare."


def gains_text(gains: Sequence[Gain]) -> str:
    """Summarizes the gains of fused groups in a few sentences; empty without groups."""
    if not gains:
        return ""
    models, fused = sum(gain.models for gain in gains), [gain for gain in gains if not gain.why]
    size = f"{models / len(gains):.1f}".removesuffix(".0")
    said = f"{text.counted(len(gains), 'group')} of {size} models"
    if fused:
        launches, alone = sum(g.launches for g in fused), sum(g.operations for g in fused)
        speedup = median(gain.speedup for gain in fused)
        verb = "was" if len(fused) == 1 else "were"
        said += (
            f"; {len(fused)} {verb} trained as one: {launches:,} launches for {alone:,} "
            f"operations, and a step {speedup:.1f} times as fast as for one model after another"
        )
    reasons = Counter(gain.why for gain in gains if gain.why)
    apart = [f"{count} because {why}" for why, count in reasons.most_common()]
    return f"{said}." + (f" One after another: {'; '.join(apart)}." if apart else "")


@final
@dataclass(frozen=True)
class Column:
    """A column of figures: its header, and a cell for each trial."""

    head: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(len, (self.head, *self.cells)))


@final
class _Ranking:
    """The best trials, each as a row of figures followed by its sample."""

    def __init__(self, best: Sequence[Trial], goals: Goals) -> None:
        self.best = best
        self.columns = _columns(best, goals)
        self.labels = _differing(best)
        self.shared = _shared(best)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = options.max_width >= text.UNBOUNDED
        if self.shared:
            words = Text(f"{SHARED}: {text.pairs(self.shared, whole=whole)}", style="dim")
            lines = [*words.wrap(console, options.max_width)]
            yield Group(*_first_lines(lines, LINES[0], options.max_width))
        table = plain_table()
        columns = _fitting(self.columns, options.max_width)
        for column in columns:
            table.add_column(Text(column.head), justify="right", no_wrap=True)
        for row in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*map(Text, row))
        head, *lines = console.render_lines(table, options, pad=False)
        yield from [*head, Segment.line()]
        for rank, (trial, line) in enumerate(zip(self.best, lines, strict=True)):
            yield from [*line, Segment.line()]
            words = Text(text.pairs(trial.sample, self.labels, whole=whole), style="dim")
            if words:
                width, most = options.max_width - INDENT, LINES[min(rank, len(LINES) - 1)]
                yield _indented(*_first_lines([*words.wrap(console, width)], most, width))


def _first_lines(lines: Sequence[Text], most: int, width: int) -> Sequence[Text]:
    """Truncates to at most `most` lines, ending in an ellipsis if some are omitted."""
    if len(lines) <= most:
        return lines
    last = lines[most - 1].copy()
    last.append(" …")
    last.truncate(width, overflow="ellipsis")
    return [*lines[: most - 1], last]


def _indented(*lines: Text) -> Padding:
    return Padding(Group(*lines), (0, 0, 0, INDENT))


def _columns(best: Sequence[Trial], goals: Goals) -> list[Column]:
    """Returns all columns, the most important ones first."""
    names = list(dict.fromkeys(name for trial in best for name in trial.metrics))
    aims = goals.metrics
    about = [name for name in text.FORMS if name in names and name not in aims]
    repeated = any(trial.trainings > 1 or trial.confirmed for trial in best)
    others = sorted(n for n in names if n.startswith("test/"))
    others += [n for n in names if n.startswith("val/") and n not in (*aims, *others)]
    others += [n for n in names if _is_own(n) and n not in (*aims, *about, *others)]
    columns = [Column("#", [str(i + 1) for i in range(len(best))])]
    columns += [Column("trial", [str(trial.number) for trial in best])]
    columns += [_figures(best, name) for name in aims]
    if not all(trial.feasible for trial in best):
        columns += [Column("breaks", [_broken(trial, goals) for trial in best])]
    columns += [Column("seeds", [_seeds(trial) for trial in best])] if repeated else []
    columns += [_figures(best, name) for name in about]
    took = ["" if t.seconds is None else text.duration(t.seconds) for t in best]
    return [*columns, Column("time", took), *(_figures(best, name) for name in others)]


def _is_own(name: str) -> bool:
    """Returns whether a metric may be one that a user's code reported beside the usual ones."""
    return (
        not name.startswith("train/")
        and not name.endswith(text.NOISE.format(""))
        and (name != "preserved")
    )


def _figures(best: Sequence[Trial], name: str) -> Column:
    """Returns the column of a metric; the cells of trials without it are empty."""
    cells = [
        text.figure_of(name, trial.metrics, trial.deviations) if name in trial.metrics else ""
        for trial in best
    ]
    return Column(text.cut(text.clean(name), 24), cells)


def _seeds(trial: Trial) -> str:
    """Returns how many trainings the figures of a trial are the means of."""
    return f"{trial.trainings} new" if trial.confirmed else str(trial.trainings)


def _broken(trial: Trial, goals: Goals) -> str:
    """Returns the constraint that a trial breaks the most; empty if it keeps all."""
    broken = goals.broken(trial.metrics)
    return "" if broken is None else text.clean(broken.text)


def _meaning(best: Sequence[Trial]) -> list[str]:
    """Says what the figures of samples are that were trained several times."""
    lines = []
    if any(trial.trainings > 1 for trial in best):
        lines.append("Figures are means over seeds, ± one standard deviation.")
    if any(trial.confirmed for trial in best):
        lines.append("Confirmed samples come first; their figures are of new trainings alone.")
    return lines


def _trade_off(trials: Sequence[Trial], goals: Goals) -> list[str]:
    """Describes the front of several objectives: its length, and how much it dominates."""
    if not goals.several:
        return []
    best = front(trials)
    pairs = [*zip(goals.objectives, worst([t for t in trials if t.scored]), strict=True)]
    reference = [low if o.reference is None else o.turned(o.reference) for o, low in pairs]
    volume = hypervolume([trial.scores for trial in best], reference)
    corner = ", ".join(
        f"{text.clean(one.metric)} {text.figure(one.metric, one.turned(place))}"
        for one, place in zip(goals.objectives, reference, strict=True)
    )
    given = all(one.reference is not None for one in goals.objectives)
    what = "the reference" if given else "the worst results"
    return [
        f"The front has {text.counted(len(best), 'trial')}; its hypervolume is {volume:.4g}, "
        f"from {what}: {corner}."
    ]


def _fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Returns the columns that fit side by side, the first ones with priority."""
    kept: list[Column] = []
    for column in columns:
        if sum(c.width + GAP for c in kept) + column.width <= width:
            kept.append(column)
    return kept


def _differing(best: Sequence[Trial]) -> Collection[str]:
    """Returns the labels whose values differ; all labels if there is only one trial."""
    labels = dict.fromkeys(label for trial in best for label in trial.sample)
    if len(best) == 1:
        return labels
    return [
        label
        for label in labels
        if len({key(t.sample[label]) if label in t.sample else "" for t in best}) > 1
    ]


def _shared(best: Sequence[Trial]) -> Sample:
    """Returns the part of the samples that all of several trials have in common."""
    differing = {*_differing(best)}
    return {label: value for label, value in best[0].sample.items() if label not in differing}


def _summary(trials: Sequence[Trial]) -> str:
    """Summarizes how many trials there were, how they ended, and how long they took."""
    own = [trial for trial in trials if trial.duplicate_of is None]
    counts = {
        "failed": sum(trial.failed and not trial.refused for trial in own),
        "refused": sum(trial.refused for trial in own),
        "stopped early": sum(trial.stopped for trial in own),
        "reused": len(trials) - len(own),
        "repeats": sum(t.repeat_of is not None and t.stage != "confirm" for t in own),
        "to compare": sum(t.stage == "baseline" and t.repeat_of is None for t in own),
        "to confirm": sum(trial.stage == "confirm" for trial in own),
        "on lower rungs": sum(trial.partial and bool(trial.scores) for trial in own),
        "not ended": sum(trial.running for trial in own),
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    total = text.counted(len(trials), "trial")
    return f"{', '.join([total, *parts])}; searched for {text.duration(busy_seconds(trials))}"


def _refusals(trials: Sequence[Trial], whole: bool = True) -> list[str]:
    """Summarizes why trials were refused, in one line; none without refusals."""
    own = [trial for trial in trials if trial.refused and trial.duplicate_of is None]
    texts = [trial.failure.text for trial in own if trial.failure is not None]
    found, rest = reasons(texts, whole)
    said = [f"{count} because {why}" for count, why in found]
    more = [f"{rest} for other reasons"] if rest else []
    return [f"Refused: {'; '.join([*said, *more])}"] if said else []


def reasons(texts: Iterable[str], whole: bool) -> tuple[list[tuple[int, str]], int]:
    """Returns the most frequent reasons with their counts, and the total count of all others. A
    long reason is cut, unless `whole`."""
    found = text.alike(texts)
    said = [(count, text.sentence(why)) for count, why in found[:REASONS]]
    shown = [(count, why if whole else text.cut(why, REASON)) for count, why in said]
    return shown, sum(count for count, _ in found[REASONS:])


def plain_table() -> Table:
    """Returns a table without lines."""
    return Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")


def busy_seconds(trials: Iterable[Trial]) -> float:
    """Returns the seconds during which some trial ran; pauses between sessions do not count."""
    spans = sorted((t.started_at or 0, t.ended_at or 0) for t in trials if t.seconds is not None)
    total = reached = 0.0
    for start, end in spans:
        total += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return total


def html(trials: Sequence[Trial], goals: Goals, k: int = 10) -> str:
    """Returns the k best trials as an HTML table, for notebooks."""
    best = top(trials, k)
    lines = [*(_trade_off(trials, goals) if best else ()), _summary(trials), *_refusals(trials)]
    summary = "".join(f"<p>{escaping.escape(line)}</p>" for line in lines)
    if not best:
        return f"<p>{_without_result(trials)}</p>{summary}"
    labels = _differing(best)
    if shared := _shared(best):
        summary = f"<p>{SHARED}: {escaping.escape(text.pairs(shared))}</p>{summary}"
    samples = Column("sample", [text.pairs(trial.sample, labels) for trial in best])
    columns = [*_columns(best, goals), samples]
    rows = [_row("th", [c.head for c in columns])]
    rows += [_row("td", row) for row in zip(*(c.cells for c in columns), strict=True)]
    return f"<table>{''.join(rows)}</table>{summary}"


def _row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escaping.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def structure_table(structure: Structure) -> RenderableType:
    """Returns a table of the choices of a space: label, candidates, and condition."""
    parts = structure.parts
    if not parts:
        return Text("There are no choices.")
    return Fitted(lambda whole: _Choices([_part(part, whole) for part in parts]))


@final
class _Choices:
    """Rows of label, candidates and condition, stacked vertically if there is no room."""

    def __init__(self, rows: Sequence[tuple[str, str, str]]) -> None:
        self.rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = [*zip(*self.rows, strict=True)]
        needed = sum(map(_longest_word, columns)) + len("candidates") + GAP * len(columns)
        if needed <= options.max_width:
            yield self._table()
            return
        for label, *rest in self.rows:
            yield Text(label, style="bold")
            yield _indented(*(Text(line) for line in rest if line))

    def _table(self) -> Table:
        conditional = any(condition for _, _, condition in self.rows)
        table = plain_table()
        table.add_column("choice", no_wrap=True)
        table.add_column("candidates")
        if conditional:
            table.add_column("asked", style="dim")
        for row in self.rows:
            table.add_row(*map(Text, row if conditional else row[:2]))
        return table


def _longest_word(texts: Iterable[str]) -> int:
    return max((len(word) for text in texts for word in text.split()), default=0)


def _part(part: Part, whole: bool) -> tuple[str, str, str]:
    """Formats label, candidates, and a condition such as `when depth=2 or 3, kind=basic`."""
    condition = ", ".join(
        f"{text.clean(label)}={' or '.join(text.value(value, whole=whole) for value in values)}"
        for label, values in part.condition.items()
    )
    label, candidates = text.clean(part.choice.label), text.clean(str(part.choice))
    return label, candidates, f"when {condition}" if condition else ""


def count_text(structure: Structure) -> str:
    """Returns the number of samples of a space, in words."""
    about = "" if structure.exact else "about "
    one = structure.count == 1
    return f"{about}{text.large(structure.count)} architecture{'' if one else 's'}"
