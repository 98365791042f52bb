"""The task `compare`: runs beside each other, as one would show them in a paper."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.display.tables import GAP, plain_table
from runner.errors import ConfigError, RunnerError, few, require
from runner.method_plot import NEEDED, is_plottable, plot
from runner.methods import LEVEL, Advantage, Method, MethodComparison, compared
from runner.results import Run
from runner.resume import folder_of
from runner.run_state import runs_below
from runner.tasks.task import Task

PICTURE = "comparison"
NAME = 30  # columns in which the name of a method can be read
SHOWN = 3  # folders that a message names


@final
class Compare(Task):
    """A task that only reads the runs; it writes a picture to a folder of its own."""

    uses = ()

    def __init__(self, runs: list[str] | str) -> None:
        self._runs = [runs] if isinstance(runs, str) else runs
        require(bool(self._runs), "runs", runs, "a list of folders of runs")

    def run(self, settings: Settings, folder: Path) -> None:
        with progress.waiting("reading the runs"):
            folders = self._folders()
        runs = [*_read(folders)]
        if not runs:
            raise ConfigError("None of the runs can be read, so there is nothing to compare.")
        with progress.waiting("comparing the runs"):
            found = compared(runs)
        progress.show(*tables(found))
        if not is_plottable():
            progress.note(f"A picture needs {NEEDED}.")
            return
        folder.mkdir(parents=True, exist_ok=True)
        with progress.waiting("drawing the curves"):
            paths = plot(found, folder / PICTURE)
        near = [str(text.near(path.absolute())) for path in paths]
        progress.show_lines(f"The curves are in {' and '.join(near)}.")

    def _folders(self) -> list[Path]:
        folders: list[Path] = []
        for name in self._runs:
            below = [*runs_below(folder_of("runs", name))]
            if not below:
                raise ConfigError(f"runs names {name!r}, in or below which there is no run.")
            folders += below
        return [*dict.fromkeys(folders)]


def show_sweep(folder: Path) -> None:
    """Shows the table of a sweep, whose members are in a folder; nothing of less than two."""
    try:
        runs = [*_read(runs_below(folder))]
        if len(runs) > 1:
            progress.show(*tables(compared(runs)))
            progress.show_lines(
                f"The whole picture: python -m runner task=compare runs={text.near(folder)}"
            )
    except RunnerError as error:
        progress.note(f"The members of this sweep cannot be compared: {error}")


def _read(folders: Iterable[Path]) -> Iterable[Run]:
    """Yields the runs that can be read; says which cannot."""
    unread = []
    for folder in progress.track([*folders], "reading the runs"):
        try:
            yield Run(folder)
        except RunnerError as error:
            unread.append(f"{text.near(folder.absolute())} ({text.sentence(str(error))})")
    if unread:
        progress.note(f"Left out, since they cannot be read: {few(unread, SHOWN)}.")


def tables(found: MethodComparison) -> list[RenderableType]:
    """Returns the results of each method, and how the others differ from the first."""
    return [_results(found), *_differences(found)]


def _results(found: MethodComparison) -> RenderableType:
    order = sorted(found.methods, key=lambda m: mean(m.finals), reverse=found.maximize)
    heads = ("runs", "trials", f"best {text.clean(found.metric)}", "worst to best seed")
    return Group(Text(), MethodTable(heads, [_row(one, found.metric) for one in order]))


@final
class MethodTable:
    """A row for each method, or some lines where its name would be squeezed."""

    def __init__(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._heads, self._rows = heads, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names, *figures = zip(("method", *self._heads), *self._rows, strict=True)
        widths = [max(Text(cell).cell_len for cell in column) + GAP for column in figures]
        longest = max(Text(name).cell_len for name in names)
        if sum(widths) + min(longest, NAME) > options.max_width:
            for name, *cells in self._rows:
                yield Text(name, style="bold")
                said = [f"{h} {c}" for h, c in zip(self._heads, cells, strict=True) if c]
                yield Padding(Text("; ".join(said)), (0, 0, 0, GAP))
            return
        table = plain_table()
        table.add_column("method", overflow="fold")
        for head in self._heads:
            table.add_column(Text(head), justify="right", no_wrap=True)
        for row in self._rows:
            table.add_row(*map(Text, row))
        yield table


def _row(method: Method, metric: str) -> Sequence[str]:
    finals = method.finals
    spread = stdev(finals) if len(finals) > 1 else None
    trials = {len(curve.values) for curve in method.curves}
    count = f"{min(trials)}" if len(trials) == 1 else f"{min(trials)} to {max(trials)}"
    ends = f"{text.figure(metric, min(finals))} to {text.figure(metric, max(finals))}"
    best = text.figure(metric, mean(finals), spread)
    return method.label, str(len(finals)), count, best, ends if len(finals) > 1 else ""


def _differences(found: MethodComparison) -> list[RenderableType]:
    differences = found.differences()
    if not differences:
        return [Text("All runs have one config, but for their seeds.")]
    lines = [Text(_sentence(one, found.metric)) for one in differences]
    tested = [one for one in differences if one.interval is not None]
    several = " p is corrected for several tests (Holm)." if len(tested) > 1 else ""
    about = f"Intervals are of {LEVEL:.0%}.{several}" if tested else ""
    return [Text(), *lines, *([Text(about)] if about else [])]


def _sentence(one: Advantage, metric: str) -> str:
    """Says how much better or worse a method is, and if that may be chance."""
    word = "better" if one.better >= 0 else "worse"
    amount = text.figure(metric, abs(one.better))
    said = f"{one.method.label} is {amount} {word} than {one.reference.label}"
    if one.interval is None or one.p is None:
        return f"{said}; with one seed, that may be chance."
    low, high = (text.figure(metric, end) for end in one.interval)
    how = f"{one.pairs} pairs of equal seeds" if one.pairs else "not paired: other seeds"
    verdict = "beyond chance" if one.is_certain else "may be chance"
    return f"{said} [{low}, {high}]: {verdict} (p = {one.p:.2g}; {how})."
