"""Live progress of a run, through rich: bars on a terminal, plain lines elsewhere."""

import io
import sys
import textwrap
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, final

import rich
import rich.progress
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runner.config.settings import Settings
from runner.display import format as text
from runner.display import silence
from runner.display.counts import (
    Tally,
    best_line,
    counts_text,
    head_line,
    how_far_line,
    news_line,
    rate_text,
    resumed_line,
    summary_line,
    took_text,
    trial_text,
    value_text,
)
from runner.display.standard_error import StandardError
from runner.goals import Goals
from runner.masking import masker
from runner.trial import Trial

T = TypeVar("T")
REFRESH = 5  # frames per second
MOMENT = 0.2  # seconds after which a terminal shows a wait
LONG_MOMENT = silence.MOMENT  # seconds of silence after which a line tells of it elsewhere
LATER = 2.0  # seconds of a wait from which on a line says how long it has taken
QUIET = 60.0  # seconds without output before a progress line is printed
MARGIN = 3  # columns left free on the right, where the terminal prints ^C
LEAST, WIDEST = 4, 20  # columns of a bar, by the room there is
PERCENT, CLOCK = 6, 11  # columns of what else is drawn beside a bar, and beside a spinner
ROOM = 20  # columns from which on the beginning of a sample says something
NARROW = 60  # columns of a terminal below which words are omitted


class Progress(ABC):
    """A display of a run. It receives every change, and decides which are worth showing."""

    @abstractmethod
    def begin(self) -> None:
        """Prepares for new trials; called once the record is replayed."""

    @abstractmethod
    def show(self, trial: Trial) -> None:
        """Shows a trial that was recorded, reported or ended; called for each replayed trial,
        too."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Shows a sentence for the user."""

    @abstractmethod
    def end(self) -> None:
        """Restores the terminal; nothing more follows. May be called twice."""


@final
class Silent(Progress):
    """A display that shows nothing; for tests and benchmarks."""

    def begin(self) -> None:
        return

    def show(self, trial: Trial) -> None:
        return

    def note(self, text: str) -> None:
        return

    def end(self) -> None:
        return


def show(*what: RenderableType) -> None:
    """Prints tables and texts; without cutting or wrapping lines if the output is no terminal, and
    none of a `Text` that says `no_wrap`, such as one with a path, on any output."""
    console = _console()
    for item in what:
        if isinstance(item, Text) and item.no_wrap:
            console.print(Text(masker.clean(item.plain), item.style), soft_wrap=True)
        elif console.is_terminal or console.is_jupyter:
            console.print(item)
        else:
            options = console.options.update(width=text.UNBOUNDED)
            for line in console.render_lines(item, options, pad=False):
                words = "".join(segment.text for segment in line).rstrip()
                console.print(Text(masker.clean(words)), soft_wrap=True)
    silence.spoken.end()


def show_lines(lines: str) -> None:
    """Prints text without wrapping its lines; for source, for example."""
    _console().print(Text(masker.clean(lines)), soft_wrap=True)
    silence.spoken.end()


def show_wrapped(lines: str) -> None:
    """Prints text, on a terminal with its lines wrapped between words, and indented further."""
    console = _console()
    if console.is_terminal:
        lines = "\n".join(_wrapped(line, console.width) for line in lines.splitlines())
    console.print(Text(lines.rstrip("\n")), soft_wrap=True)


def _wrapped(line: str, width: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def note(sentence: str) -> None:
    """Prints a sentence for the user."""
    _say(_console(), sentence, "cyan")


@contextmanager
def waiting(what: str, how_far: Callable[[], str] = lambda: "") -> Iterator[Callable[[], None]]:
    """Shows that a block runs: on a terminal for how long, if it takes longer than a moment, and
    elsewhere in lines on standard error, whenever nothing was said for a moment. Yields what ends
    this before the block ends. `how_far` tells, from another thread, what there is to tell in a
    line."""
    console = _console()
    begin = _Spinner if _is_animated(console) else _HeartbeatLines
    wait = begin(console, text.sentence(what), how_far)
    try:
        yield wait.end
    finally:
        wait.end()


def track(sequence: Sequence[T], what: str) -> Iterable[T]:
    """Iterates over a sequence, with a transient progress bar on a terminal; elsewhere, lines
    say how far it is, if it takes longer than a moment."""
    console = _console()
    if _is_animated(console):
        return _drawn(sequence, what, console)
    return _tracked(sequence, what)


def _drawn(sequence: Sequence[T], what: str, console: Console) -> Iterator[T]:
    words = text.cut(text.sentence(what), max(console.width - LEAST - PERCENT, 1))
    bar = min(max(console.width - len(words) - PERCENT, LEAST), WIDEST)
    columns = _words(), rich.progress.BarColumn(bar), rich.progress.TaskProgressColumn()
    with rich.progress.Progress(*columns, console=console, transient=True) as shown:
        yield from shown.track(sequence, description=words)


def _words() -> rich.progress.ProgressColumn:
    return rich.progress.TextColumn("{task.description}", markup=False)


def _tracked(sequence: Sequence[T], what: str) -> Iterator[T]:
    done = 0
    with waiting(what, lambda: f"{done}/{len(sequence)}"):
        for item in sequence:
            yield item
            done += 1


@final
class _HeartbeatLines:
    """A wait that is told in lines."""

    def __init__(self, console: Console, what: str, how_far: Callable[[], str]) -> None:
        self._console = console
        self._what = f"{what[:1].upper()}{what[1:]}"
        self._how_far = how_far
        self._heartbeat = silence.Heartbeat(silence.spoken, self._tell, LONG_MOMENT)

    def end(self) -> None:
        """Tells nothing more. May be called twice."""
        self._heartbeat.stop()

    def _tell(self, seconds: float) -> None:
        took = f" {seconds:.0f} s" if seconds >= LATER else ""
        far = self._how_far()
        _say(_aside(self._console), f"{self._what} ...{took}{far and f' ({far})'}")


def _aside(console: Console) -> Console:
    """Returns a console for what is no result: standard error, unless the output was redirected
    from within the program, or is a notebook's."""
    is_usual = console.file is sys.stdout and not console.is_jupyter
    return StandardError() if is_usual else console


@final
class _Spinner:
    """A wait that is drawn once it has taken a moment."""

    def __init__(self, console: Console, what: str, _: Callable[[], str]) -> None:
        self._console = console
        self._what = what
        self._lock = threading.Lock()
        self._is_over = False
        self._shown: rich.progress.Progress | None = None
        self._timer = threading.Timer(MOMENT, self._show)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Shows nothing more. May be called twice."""
        self._timer.cancel()
        with self._lock:
            self._is_over = True
            if self._shown is not None:
                self._shown.stop()
            self._shown = None

    def _show(self) -> None:
        with self._lock:
            if self._is_over:
                return
            words = text.cut(self._what, max(self._console.width - CLOCK, 1))
            self._shown = rich.progress.Progress(
                rich.progress.SpinnerColumn(), _words(), rich.progress.TimeElapsedColumn(),
                console=self._console, transient=True,
                redirect_stdout=False, redirect_stderr=True,
            )  # fmt: skip
            self._shown.add_task(words, total=None)
            self._shown.start()


def _is_animated(console: Console) -> bool:
    """Returns whether a console can draw over what it has drawn."""
    return console.is_terminal and not console.is_jupyter and not console.is_dumb_terminal


def fail(sentence: str) -> None:
    """Prints an error, on one line, to standard error."""
    _say(StandardError(), f"error: {sentence}", "red")


def stopped() -> None:
    """Says on standard error that the user has stopped the program."""
    _say(StandardError(), "Stopped.", "cyan")


def for_terminal(
    settings: Settings,
    goals: Goals,
    folder: Path,
    *,
    plain: bool,
    before: Callable[[], None] = lambda: None,
) -> Progress:
    """Returns bars for a terminal, and plain lines for other outputs. `folder` is the run's.
    `before` is called before the first line.

    With `plain`, a terminal gets lines as well, since a debugger uses it.
    """
    console = _console()
    able = console.is_interactive and _is_animated(console)
    if able and console.file.isatty() and not plain:
        return Bars(console, settings, goals, folder, before)
    beats = not (plain and console.is_terminal)
    return Lines(console, settings, goals, folder, before, beats=beats)


def _console() -> Console:
    """Returns the program's console. Characters missing from its encoding are escaped."""
    console = rich.get_console()
    if isinstance(console.file, io.TextIOWrapper):
        console.file.reconfigure(errors="backslashreplace")
    return console


def _say(console: Console, sentence: str, style: str = "") -> None:
    """Prints a sentence, wrapped between words only, so that paths can be copied."""
    line = text.sentence(masker.clean(sentence))
    whole = not console.is_terminal or max(map(len, line.split()), default=0) > console.width
    console.print(Text(line), style=style, soft_wrap=whole)
    silence.spoken.end()


class _Visible(Progress):
    """The common part of bars and lines: a console, a tally, and the first output."""

    head_style = note_style = ""

    def __init__(
        self,
        console: Console,
        settings: Settings,
        goals: Goals,
        folder: Path,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._console = console
        self._folder = folder
        self._before = before
        self._head = head_line(settings, folder)
        self._tally = Tally(settings, goals)
        self._begun = False

    def begin(self) -> None:
        self._before()
        _say(self._console, self._head, self.head_style)
        if self._tally.ended or self._tally.running:
            self.note(resumed_line(self._tally))
        self._tally.begin()
        self._begun = True

    @final
    def note(self, text: str) -> None:
        _say(self._console, text, self.note_style)


@final
class Lines(_Visible):
    """Plain lines: one per ended trial, and a progress line now and then. With `beats`, lines on
    standard error fill silences at the beginning."""

    _spoken = 0.0  # when the last progress line was printed

    def __init__(
        self,
        console: Console,
        settings: Settings,
        goals: Goals,
        folder: Path,
        before: Callable[[], None] = lambda: None,
        *,
        beats: bool = False,
    ) -> None:
        super().__init__(console, settings, goals, folder, before)
        self._lock = threading.Lock()  # lines that fill silences are made in another thread
        self._beats = beats
        self._wait: _HeartbeatLines | None = None

    def begin(self) -> None:
        super().begin()
        self._spoken = time.monotonic()
        if self._beats:
            self._wait = _HeartbeatLines(self._console, "searching", self._how_far)

    def _how_far(self) -> str:
        with self._lock:
            return how_far_line(self._tally)

    def show(self, trial: Trial) -> None:
        with self._lock:
            self._tally.take(trial)
        if not self._begun:
            return
        whole = not self._console.is_terminal
        news = news_line(trial, self._tally, self._folder, whole=whole)
        if line := news or self._result(trial):
            _say(self._console, line)
        if time.monotonic() - self._spoken > QUIET and self._tally.goes_on:
            _say(self._console, how_far_line(self._tally))
            self._spoken = time.monotonic()

    def end(self) -> None:
        if self._wait is not None:
            self._wait.end()
        if self._begun:
            _say(self._console, summary_line(self._tally))
        self._begun = False

    def _result(self, trial: Trial) -> str:
        """Returns the line of a trial that ended with a result of its own."""
        if not trial.scores or trial.duplicate_of is not None:
            return ""
        best, metric = self._tally.best, self._tally.metric
        name, took = trial_text(trial, self._tally.goals), took_text(trial, " in ")
        said = f"{name}: {metric} {value_text(trial, metric)}{took}"
        if trial.partial or best is None or trial.stage == "confirm":
            return said
        if best.number == trial.number:
            return f"{said}, the best so far"
        return f"{said}, best {value_text(best, metric)} (trial {best.number})"


# name, bar, count, its unit, a time or rate, and a last column
Row = tuple[str, RenderableType, str, str, str, RenderableType]


@final
class Bars(_Visible):
    """A bar for the run and one per running trial, with the best trial below and news above."""

    head_style, note_style = "bold", "cyan"

    def __init__(
        self,
        console: Console,
        settings: Settings,
        goals: Goals,
        folder: Path,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(console, settings, goals, folder, before)
        self._lock = threading.Lock()  # frames are drawn in another thread
        self._live = Live(
            console=console, get_renderable=self.frame, refresh_per_second=REFRESH,
            redirect_stderr=sys.stderr.isatty(),
        )  # fmt: skip

    def begin(self) -> None:
        super().begin()
        self._live.start()

    def show(self, trial: Trial) -> None:
        with self._lock:
            self._tally.take(trial)
        if self._begun and (line := news_line(trial, self._tally, self._folder, whole=False)):
            _say(self._console, line, "red" if trial.failed else "yellow")

    def end(self) -> None:
        if not self._begun:
            return
        with self._lock:
            self._tally.running.clear()
        try:
            self._live.stop()
        finally:
            self._console.show_cursor()

    def frame(self) -> RenderableType:
        """Renders the bars; at most as high as the terminal."""
        with self._lock:
            trials = [t for t in self._tally.running.values() if t.duplicate_of is None]
            rows = max(self._console.height - 5, 1)
            grid = self._grid([self._run_row(), *map(self._trial_row, trials[:rows])])
            hidden = len(trials) - rows
            more = [Text(f"and {hidden} more running", style="dim")] if hidden > 0 else []
            return Constrain(Group(grid, *more, *self._foot()), self._console.width - MARGIN)

    def _grid(self, rows: Sequence[Row]) -> Table:
        """Arranges rows of bars and figures; a narrow terminal gets no times."""
        wide = self._console.width >= NARROW
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, min_width=4)
        for _ in range(3 if wide else 2):
            grid.add_column(no_wrap=True, justify="right")
        for name, bar, count, unit, time_, last in rows:
            grid.add_row(name, bar, *([count + unit, time_] if wide else [count]), last)
        return grid

    def _run_row(self) -> Row:
        tally, pace = self._tally, self._tally.pace
        bar = ProgressBar(total=tally.total, completed=tally.done)
        left = f"{text.clock(pace[1])} left" if pace and tally.ended < tally.total else ""
        count = f"{tally.ended}/{tally.total}"
        return "search", bar, count, " trials", rate_text(pace[0]) if pace else "", left

    def _trial_row(self, trial: Trial) -> Row:
        name, epochs = f"trial {trial.number}", self._tally.epochs(trial)
        if trial.started_at is None:
            return name, "", "", "", "", Text("waiting", style="dim")
        bar = ProgressBar(total=epochs, completed=trial.step)
        metric = self._tally.metric
        last = value_text(trial, metric) if metric in trial.metrics else ""
        count, unit = (f"{trial.step}/{epochs}", " epochs") if epochs else ("", "")
        return name, bar, count, unit, text.clock(time.time() - trial.started_at), last

    def _foot(self) -> Iterator[Text]:
        tally = self._tally
        if counts := counts_text(tally):
            yield Text(counts, style="yellow")
        if tally.best is not None:
            line = Text(best_line(tally), style="green", no_wrap=True, overflow="ellipsis")
            if self._console.width - MARGIN - line.cell_len >= ROOM:
                line.append(f"  {text.pairs(tally.best.sample)}", style="dim")
            yield line
