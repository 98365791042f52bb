"""The task `list`: the runs below a folder, a line each."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.text import Text

from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.display.counts import value_text
from runner.display.tables import GAP, plain_table
from runner.errors import ConfigError, RunnerError
from runner.ranking import top
from runner.results import Run
from runner.resume import folder_of, resume_command
from runner.run_state import runs_below, searched, state_of_run
from runner.store import RECORD
from runner.tasks.task import Task

LONG = 60  # characters of an error
NARROW = 100  # columns of a terminal below which each run takes two lines


@final
class ListRuns(Task):
    """A task that only reads."""

    uses = ()

    def __init__(self, run: str) -> None:
        self._below = run

    def run(self, settings: Settings, folder: Path) -> None:
        below = folder_of("run", self._below)
        if not below.is_dir():
            raise ConfigError(f"run is {self._below!r}, which is no folder.")
        with progress.waiting("looking for runs"):
            found = [*runs_below(below)]
        if not found:
            progress.note(f"There is no run in or below {text.near(below.absolute())}.")
            return
        lines = [_line(one) for one in progress.track(found, "reading the runs")]
        progress.show(_RunTable(sorted(lines, key=lambda line: line.begun)))
        if cut := [line.folder for line in lines if line.can_go_on]:
            latest = max(cut, key=lambda one: (one / RECORD).stat().st_mtime)
            progress.show_lines(f"The latest of those cut goes on with: {resume_command(latest)}")


@dataclass(frozen=True)
class _RunLine:
    """What is said of a run."""

    folder: Path  # as it is typed
    begun: float  # seconds since the epoch; infinite if unknown
    what: str
    state: str
    best: str
    can_go_on: bool

    @property
    def when(self) -> str:
        known = self.begun < float("inf")
        return f"{datetime.fromtimestamp(self.begun):%Y-%m-%d %H:%M}" if known else ""


def _line(folder: Path) -> _RunLine:
    near = text.near(folder.absolute())
    try:
        run = Run(folder)
        trials, goals = run.trials, run.goals
    except RunnerError as error:  # one bad folder hides no other
        return _RunLine(
            near,
            float("inf"),
            "",
            f"cannot be read: {text.cut(text.sentence(str(error)), LONG)}",
            "",
            False,
        )
    state = state_of_run(run.folder, run.settings, trials)
    best = ""
    if found := top(trials, 1):
        values = (f"{text.clean(m)} {value_text(found[0], m)}" for m in
                  (one.metric for one in goals.objectives))  # fmt: skip
        best = ", ".join(values)
    begun = trials[0].proposed_at if trials else float("inf")
    return _RunLine(
        near, begun, searched(run.settings), state.text, best or "no result", state.can_go_on
    )


@final
class _RunTable:
    """The lines as a table, or stacked where the terminal is narrow."""

    def __init__(self, lines: list[_RunLine]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width < NARROW:
            for line in self._lines:
                yield Text(text.clean(str(line.folder)), style="bold")
                said = (line.when, line.what, line.state, line.best)
                yield Padding(Text("; ".join(filter(None, said))), (0, 0, 0, GAP))
            return
        table = plain_table()
        for head in ("begun", "folder", "what", "state", "best"):
            table.add_column(head, overflow="fold")
        for line in self._lines:
            cells = (line.when, text.clean(str(line.folder)), line.what, line.state, line.best)
            table.add_row(*map(Text, cells))
        yield table
