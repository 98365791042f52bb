"""What rich shows of a run: bars on a terminal, plain lines elsewhere."""

import io
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import rich
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runner import text
from runner.config import Settings
from runner.trial import Objective, Trial

REFRESH = 5  # frames per second
QUIET = 60.0  # seconds without a line on how far the run is
LONG = 300  # characters of a failure; what is longer is cut
MARGIN = 3  # columns left free on the right, where the terminal prints ^C
NARROW = 60  # columns of a terminal on which words are left out


class Progress(ABC):
    """Shows a run. It is told of every change, and decides itself what is worth showing."""

    @abstractmethod
    def begin(self) -> None:
        """The record was replayed; trials start from here."""

    @abstractmethod
    def show(self, trial: Trial) -> None:
        """A trial was recorded, reported, or ended; also for each trial that is replayed."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Something the user should know, in a sentence."""

    @abstractmethod
    def end(self) -> None:
        """Nothing more will come; leave the terminal as it was. May be called twice."""


@final
class Silent(Progress):
    """Shows nothing: for tests, benchmarks, and runs from Python that want none."""

    def begin(self) -> None:
        return

    def show(self, trial: Trial) -> None:
        return

    def note(self, text: str) -> None:
        return

    def end(self) -> None:
        return


def show(*what: RenderableType) -> None:
    """Print tables and texts to the terminal."""
    for item in what:
        _console().print(item)


def note(sentence: str) -> None:
    """Print a sentence the user should know."""
    _say(_console(), sentence, "cyan")


def fail(sentence: str) -> None:
    """Print what went wrong, in one line, to standard error."""
    _say(Console(stderr=True), f"error: {sentence}", "red")


def for_terminal(settings: Settings, objective: Objective, folder: Path) -> Progress:
    """Bars on a terminal, plain lines where the output goes elsewhere. `folder` is the run's.

    Training in this process shows lines as well: a debugger needs the terminal for itself.
    """
    console = _console()
    able = console.is_interactive and not console.is_jupyter and not console.is_dumb_terminal
    inline = settings.training["_target_"] == "runner.training.inline.Inline"
    chosen = Bars if able and console.file.isatty() and not inline else Lines
    return chosen(console, settings, objective, folder)


def _console() -> Console:
    """The console of the program, which log lines go to as well. What its encoding lacks is
    written as escapes rather than raised."""
    console = rich.get_console()
    if isinstance(console.file, io.TextIOWrapper):
        console.file.reconfigure(errors="backslashreplace")
    return console


def _say(console: Console, sentence: str, style: str = "") -> None:
    """Print a sentence. A terminal shows it on several lines if it must, but no word of it: so
    that paths and commands can be copied."""
    line = text.sentence(sentence)
    whole = not console.is_terminal or max(map(len, line.split()), default=0) > console.width
    console.print(Text(line), style=style, soft_wrap=whole)


@final
class Tally:
    """How far a run is: a few counts, the best trial, and the trials that are running."""

    def __init__(self, settings: Settings, objective: Objective) -> None:
        self.objective = objective
        self.total = settings.budget.trials
        self.running: dict[int, Trial] = {}
        self.ended = 0
        self.failed = 0
        self.reused = 0
        self.best: Trial | None = None
        self._minutes = settings.budget.minutes
        self._epochs = settings.evaluator.get("epochs")
        self._begun = time.monotonic()
        self._ended_before = 0

    def begin(self) -> None:
        """The rate counts from here."""
        self._begun = time.monotonic()
        self._ended_before = self.ended

    def take(self, trial: Trial) -> None:
        """Count a trial that was recorded, reported, or ended."""
        if trial.running:
            self.running[trial.number] = trial
            return
        self.running.pop(trial.number, None)
        self.ended += 1
        self.failed += trial.failed and trial.duplicate_of is None
        self.reused += trial.duplicate_of is not None
        if trial.scored and (self.best is None or _score(trial) > _score(self.best)):
            self.best = trial

    def epochs(self, trial: Trial) -> int | None:
        """How many epochs a trial takes; None when its evaluator does not say."""
        epochs = trial.sample.get("evaluator.epochs", self._epochs)
        return epochs if isinstance(epochs, int) and epochs > 0 else None

    @property
    def done(self) -> float:
        """How many trials are done, those that are running counted in part."""
        epochs = [(t.step, self.epochs(t)) for t in self.running.values()]
        return self.ended + sum(min(step / total, 1.0) for step, total in epochs if total)

    @property
    def pace(self) -> tuple[float, float] | None:
        """Trials per minute, and seconds left; None while neither can be told."""
        passed = time.monotonic() - self._begun
        done = self.done - self._ended_before
        if passed < 1.0 or done <= 0:
            return None
        left = max(self.total - self.done, 0) * passed / done
        if self._minutes is not None:
            left = min(left, max(60 * self._minutes - passed, 0))
        return 60 * done / passed, left


def _score(trial: Trial) -> float:
    assert trial.score is not None
    return trial.score


@final
class Lines(Progress):
    """Plain lines: one when a trial ends, and now and then one on how far the run is."""

    def __init__(
        self, console: Console, settings: Settings, objective: Objective, folder: Path
    ) -> None:
        self._console = console
        self._folder = folder
        self._head = _head(settings, folder)
        self._tally = Tally(settings, objective)
        self._begun = False
        self._spoken = 0.0  # when the last line on how far the run is was printed

    def begin(self) -> None:
        _say(self._console, self._head)
        if self._tally.ended or self._tally.running:
            _say(self._console, _resumed(self._tally))
        self._tally.begin()
        self._begun = True
        self._spoken = time.monotonic()

    def show(self, trial: Trial) -> None:
        self._tally.take(trial)
        if not self._begun:
            return
        if line := _news(trial, self._tally.objective, self._folder) or self._result(trial):
            _say(self._console, line)
        if time.monotonic() - self._spoken > QUIET and self._tally.ended < self._tally.total:
            _say(self._console, _how_far(self._tally))
            self._spoken = time.monotonic()

    def note(self, text: str) -> None:
        _say(self._console, text)

    def end(self) -> None:
        if self._begun:
            _say(self._console, _summary(self._tally))
        self._begun = False

    def _result(self, trial: Trial) -> str:
        """The line of a trial that ended with a result of its own."""
        if trial.running or trial.duplicate_of is not None:
            return ""
        best, metric = self._tally.best, self._tally.objective.metric
        assert best is not None
        place = f"best {_value(best, metric)} (trial {best.number})"
        return (
            f"trial {trial.number}{' stopped' if trial.state == 'stopped' else ''}: "
            f"{metric} {_value(trial, metric)}{_took(trial, ' in ')}, "
            f"{'the best so far' if best.number == trial.number else place}"
        )


# name, bar, count, its unit, a time or rate, and a last word
Row = tuple[str, RenderableType, str, str, str, RenderableType]


@final
class Bars(Progress):
    """A bar for the run, one for each running trial, the best so far, and news above them."""

    def __init__(
        self, console: Console, settings: Settings, objective: Objective, folder: Path
    ) -> None:
        self._console = console
        self._folder = folder
        self._head = _head(settings, folder)
        self._tally = Tally(settings, objective)
        self._lock = threading.Lock()  # the frames are drawn in a thread of their own
        self._begun = False
        self._live = Live(
            console=console, get_renderable=self.frame, refresh_per_second=REFRESH,
            redirect_stderr=sys.stderr.isatty(),
        )  # fmt: skip

    def begin(self) -> None:
        _say(self._console, self._head, "bold")
        if self._tally.ended or self._tally.running:
            _say(self._console, _resumed(self._tally), "cyan")
        self._tally.begin()
        self._begun = True
        self._live.start()

    def show(self, trial: Trial) -> None:
        with self._lock:
            self._tally.take(trial)
        if self._begun and (line := _news(trial, self._tally.objective, self._folder)):
            _say(self._console, line, "red" if trial.failed else "yellow")

    def note(self, text: str) -> None:
        _say(self._console, text, "cyan")

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
        """What stands below the news; at most as high as the terminal."""
        with self._lock:
            trials = [t for t in self._tally.running.values() if t.duplicate_of is None]
            rows = max(self._console.height - 5, 1)
            grid = self._grid([self._run_row(), *map(self._trial_row, trials[:rows])])
            hidden = len(trials) - rows
            more = [Text(f"and {hidden} more running", style="dim")] if hidden > 0 else []
            return Constrain(Group(grid, *more, *self._foot()), self._console.width - MARGIN)

    def _grid(self, rows: Sequence[Row]) -> Table:
        """Rows of a bar and what stands around it; on a narrow terminal without times."""
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
        return "search", bar, count, " trials", _rate(pace[0]) if pace else "", left

    def _trial_row(self, trial: Trial) -> Row:
        name, epochs = f"trial {trial.number}", self._tally.epochs(trial)
        if trial.started_at is None:
            return name, "", "", "", "", Text("waiting", style="dim")
        bar = ProgressBar(total=epochs, completed=trial.step)
        value = trial.metrics.get(self._tally.objective.metric)
        last = "" if value is None else text.number(value)
        count, unit = (f"{trial.step}/{epochs}", " epochs") if epochs else ("", "")
        return name, bar, count, unit, text.clock(time.time() - trial.started_at), last

    def _foot(self) -> Iterator[Text]:
        tally = self._tally
        if tally.failed or tally.reused:
            yield Text(_counts(tally), style="yellow")
        if tally.best is not None:
            line = Text(_best(tally), style="green", no_wrap=True, overflow="ellipsis")
            yield line.append(f"  {text.pairs(tally.best.sample)}", style="dim")


def _head(settings: Settings, folder: Path) -> str:
    """What is searched, how, how long, and where it goes."""
    minutes = settings.budget.minutes
    limit = f" or {minutes:g} min" if minutes is not None else ""
    near = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    return (
        f"Searching {text.name(settings.space)} with {text.name(settings.strategy)}: "
        f"{settings.budget.trials} trials{limit}, seed {settings.seed}, in {near}"
    )


def _resumed(tally: Tally) -> str:
    again = sum(trial.duplicate_of is None for trial in tally.running.values())
    rest = f", {again} to be run again" if again else ""
    return f"Resumed with {_trials(tally.ended + len(tally.running))}{rest}."


def _news(trial: Trial, objective: Objective, folder: Path) -> str:
    """What is shown at once of a trial: that it repeats another one, failed, or has no result."""
    number = f"trial {trial.number}"
    if trial.duplicate_of is not None:
        first = f"{number} repeats trial {trial.duplicate_of}: its result is reused"
        return first if trial.running else ""
    if trial.failure is not None:
        why = text.cut(str(trial.failure), LONG)
        return f"{number} failed{_took(trial, ' after ')}: {why}{_trace(trial, folder)}"
    if not trial.running and not trial.scored:
        there = ", ".join(f"{k}={text.number(v)}" for k, v in trial.metrics.items())
        return f"{number} has no {objective.metric} to compare; it reported {there or 'nothing'}"
    return ""


def _trace(trial: Trial, folder: Path) -> str:
    """Where to read more of a failure: its traceback, or what was printed before a crash."""
    for name in ("error.txt", "output.txt"):
        place = Path("trials", f"{trial.number:04d}", name)
        if (folder / place).is_file():
            return f"; see {place}"
    return ""


def _how_far(tally: Tally) -> str:
    pace = f", {_rate(tally.pace[0])}, {text.clock(tally.pace[1])} left" if tally.pace else ""
    running = [t for t in tally.running.values() if t.started_at is not None]
    steps = [f"trial {t.number} at {_step(t, tally.epochs(t))}" for t in running[:4]]
    more = f" and {len(running) - 4} more" if len(running) > 4 else ""
    return "; ".join([f"{tally.ended}/{tally.total} trials{pace}", *steps]) + more


def _step(trial: Trial, epochs: int | None) -> str:
    return f"epoch {trial.step}/{epochs}" if epochs else f"report {trial.step}"


def _summary(tally: Tally) -> str:
    counts = f" ({_counts(tally)})" if _counts(tally) else ""
    return f"{tally.ended} of {_trials(tally.total)} done{counts}; {_best(tally)}"


def _counts(tally: Tally) -> str:
    counts = (tally.failed, "failed"), (tally.reused, "reused")
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def _best(tally: Tally) -> str:
    if tally.best is None:
        return "no result yet"
    metric = text.clean(tally.objective.metric)
    value = _value(tally.best, tally.objective.metric)
    return f"best {metric} {value}, trial {tally.best.number}"


def _value(trial: Trial, metric: str) -> str:
    return text.number(trial.metrics[metric])


def _took(trial: Trial, before: str) -> str:
    """How long a trial ran; nothing when it never did."""
    if trial.started_at is None or trial.ended_at is None:
        return ""
    return before + text.duration(trial.ended_at - trial.started_at)


def _rate(per_minute: float) -> str:
    return f"{per_minute:.1f}/min" if per_minute >= 1 else f"{60 * per_minute:.0f}/h"


def _trials(number: int) -> str:
    return f"{number} trial" if number == 1 else f"{number} trials"
