"""One trial as a whole: its sample, its metrics by epoch, its files, its failure."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from runner.display import format as text
from runner.display.tables import GAP, NamedValues, plain_table
from runner.goals import Goals
from runner.trial import Metrics, Trial, trial_folder

EDGE = 12  # epochs shown at the beginning and at the end of a long training


def trial_details(
    trial: Trial, goals: Goals, curve: Sequence[Metrics], rank: int | None, folder: Path
) -> Sequence[RenderableType]:
    """Returns all that is known of a trial. `curve` holds its reports, `rank` is its place among
    the results, counted from 1, or None, and `folder` is that of the run."""
    parts: list[RenderableType] = [Text(_headline(trial, goals, rank), style="bold")]
    parts += [NamedValues([*_origin(trial)])]
    parts += [Text("\nSample", style="bold"), _sample(trial)]
    if trial.metrics:
        parts += [Text("\nMetrics", style="bold"), NamedValues([*_metrics(trial)])]
    if len(curve) > 1:
        parts += [Text("\nBy epoch", style="bold"), _EpochTable(curve, goals)]
    if trial.failure is not None:
        parts += [Text("\nFailure", style="bold"), Text(text.sentence(str(trial.failure)))]
    files = [*_files(trial_folder(folder, trial.owner))]
    parts += [Text("\nFiles", style="bold")]
    return [*parts, *(Text(line, no_wrap=True) for line in files or ["none are kept"])]


def _headline(trial: Trial, goals: Goals, rank: int | None) -> str:
    """Says how a trial ended, with its values of the objectives and its place."""
    state = "refused" if trial.refused else str(trial.state)
    said = f"Trial {trial.number}, {'stopped early' if trial.stopped else state}"
    values = [
        f"{text.clean(one.metric)} {text.figure_of(one.metric, trial.metrics, trial.deviations)}"
        for one in goals.objectives
        if one.metric in trial.metrics
    ]
    said = ": ".join([said, *([", ".join(values)] if values else [])])
    return said if rank is None else f"{said}, number {rank} of the ranking"


def _origin(trial: Trial) -> Iterator[tuple[str, str]]:
    yield "seed", str(trial.seed)
    if trial.duplicate_of is not None:
        yield "result", f"shared with trial {trial.duplicate_of}, which means the same model"
    if trial.repeat_of is not None:
        yield "repeats", f"the sample of trial {trial.repeat_of}, under another seed"
    if trial.parent is not None:
        yield "derived", f"from trial {trial.parent}"
    if trial.stage != "search":
        whys = {"baseline": "a random sample, for comparison", "confirm": "confirms a sample"}
        yield "stage", whys[trial.stage]
    if trial.proxy is not None:
        yield "screened", f"chosen by a proxy's score of {text.number(trial.proxy)}"
    if not trial.feasible:
        yield "breaks", f"constraints, by {text.number(trial.violation)} in total"
    if trial.seconds is not None:
        yield "took", text.duration(trial.seconds)


def _sample(trial: Trial) -> RenderableType:
    rows = [(label, text.value(value, whole=True)) for label, value in trial.sample.items()]
    return NamedValues(rows) if rows else Text("no choices")


def _metrics(trial: Trial) -> Iterator[tuple[str, str]]:
    for name in sorted(trial.metrics):
        yield name, text.figure_of(name, trial.metrics, trial.deviations)


class _EpochTable:
    """A table of metrics by epoch: the objectives first, further metrics as far as they fit."""

    def __init__(self, curve: Sequence[Metrics], goals: Goals) -> None:
        self._curve = curve
        reported = dict.fromkeys(name for step in curve for name in step)
        changing = [n for n in reported if len({step.get(n) for step in curve}) > 1]
        aims = [name for name in goals.metrics if name in reported]
        self._names = list(dict.fromkeys([*aims, *changing]))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = options.max_width >= text.UNBOUNDED
        places = [*range(len(self._curve))]
        hidden = len(places) - 2 * EDGE
        table = plain_table()
        table.add_column("epoch", justify="right", no_wrap=True)
        left = options.max_width - len("epoch") - GAP
        shown = []
        for name in self._names:
            cells = [self._cell(place, name) for place in places]
            width = max(len(text.clean(name)), *map(len, cells))
            if width + GAP <= left:
                left -= width + GAP
                shown.append(cells)
                table.add_column(Text(text.clean(name)), justify="right", no_wrap=True)
        for place in places:
            if whole or hidden <= 1 or place < EDGE or place >= len(places) - EDGE:
                table.add_row(str(place + 1), *(cells[place] for cells in shown))
            elif place == EDGE:
                table.add_row("…", *("…" for _ in shown))
        yield table

    def _cell(self, place: int, name: str) -> str:
        step = self._curve[place]
        return text.figure_of(name, step) if name in step else ""


def _files(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_file():
                yield f"{text.clean(str(text.near(path)))}  {text.size(path.stat().st_size)}"
