"""The task `show`: what came out of a run, or of one of its trials."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Literal, final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner.comparison import verdict
from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.display.tables import GAP, best_table, gains_text
from runner.display.trial_details import trial_details
from runner.errors import ConfigError, few
from runner.learning_curves import learning_curves
from runner.ranking import top
from runner.results import Run
from runner.resume import folder_of, resume_command, task_command
from runner.run_folder import check_links
from runner.run_state import RunState, searched, state_of_run
from runner.store import Record
from runner.tasks.task import Task
from runner.trial import TOP, Trial

STUDY = "optuna.log"  # a journal, in the folder of the run
SHOWN = 5  # trials that are named, of those that failed for one reason


@final
class Show(Task):
    """A task that only reads: it imports nothing that the run names, so the run may be anybody's
    and may be running."""

    uses = ()

    def __init__(
        self,
        run: str,
        trial: int | str | None = None,
        format: Literal["table", "optuna"] = "table",
    ) -> None:
        self._run = run
        self._trial = trial
        self._format = format

    def run(self, settings: Settings, folder: Path) -> None:
        with progress.waiting("reading the run"):
            run = Run(folder_of("run", self._run))
        if self._format == "optuna":
            if self._trial is not None:
                raise ConfigError("trial is given, but format=optuna writes the run as a whole.")
            _as_study(run)
            return
        if self._trial is not None:
            trial = run.trial(self._trial)
            progress.show(*_one(run, trial), Text("\nGo on", style="bold"))
            commands = _commands_of(run, trial)
        else:
            record = run.record
            state = state_of_run(run.folder, run.settings, record.trials)
            progress.show(*_whole(run, record, state))
            commands = [*_commands(run, record.trials, state)]
        for command in commands:  # not wrapped, to be copied
            progress.show_lines(command)


def _as_study(run: Run) -> None:
    """Writes a run as a study of Optuna beside its record, and shows how to open it."""
    check_links(run.folder)
    target = run.folder / STUDY
    with progress.waiting("writing the study"):
        from runner.optuna_export import write_study  # here: it imports Optuna

        command = write_study(run.folder, target)
    progress.show_lines(f"The run is in {text.near(target)} as a study of Optuna. To look at it:")
    progress.show_lines(f"  {command}")


def _whole(run: Run, record: Record, state: RunState) -> Iterator[RenderableType]:
    goals = run.goals
    yield Text(f"{searched(run.settings)}, seed {run.settings.seed}", style="bold")
    yield Text(_when(run, record.trials, state), no_wrap=True)
    yield best_table(record.trials, goals)
    if failed := [t for t in record.trials if t.failed and not t.refused]:
        yield _failures(t for t in failed if t.duplicate_of is None)
    lines = [verdict(record.trials, goals), gains_text(record.gains), _times(record.trials)]
    for line in filter(None, lines):
        yield Text(line)


def _commands(run: Run, trials: Sequence[Trial], state: RunState) -> Iterator[str]:
    """Yields where the models of a run are, and the commands to go on."""
    where = text.near(run.folder)
    if (run.folder / TOP).is_dir():
        yield f"The best models are in {shlex.quote(str(where / TOP))}."
    if state.can_go_on:
        yield f"It can go on: {resume_command(where)}"
    if top(trials, 1):
        yield f"One trial as a whole: {task_command('show', where, 'trial=best')}"


def _when(run: Run, trials: Sequence[Trial], state: RunState) -> str:
    begun = trials[0].proposed_at if trials else None
    since = "" if begun is None else f"begun {datetime.fromtimestamp(begun):%Y-%m-%d %H:%M}, "
    return f"{text.clean(str(text.near(run.folder)))}: {since}{state.text}"


def _failures(failed: Iterable[Trial]) -> RenderableType:
    """Returns a table of why trials failed: the most frequent reasons first."""
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(justify="right")
    grid.add_column(overflow="fold")
    for said, trials in text.by_kind(failed, lambda trial: text.sentence(str(trial.failure))):
        numbers = few([str(trial.number) for trial in trials], SHOWN)
        named = f"{said.rstrip('.')} (trial{'s' * (len(trials) > 1)} {numbers})"
        grid.add_row(Text(str(len(trials))), Text(named))
    return Group(Text("Failed", style="bold"), grid)


def _times(trials: Sequence[Trial]) -> str:
    """Returns how long trials took; empty if none ended."""
    spans = [trial.seconds for trial in trials if trial.seconds is not None]
    if not spans:
        return ""
    ends = f"{text.duration(min(spans))} to {text.duration(max(spans))}"
    return f"A trial took {ends}, {text.duration(median(spans))} in the middle."


def _one(run: Run, trial: Trial) -> Sequence[RenderableType]:
    ranking = top(run.trials, len(run.trials))
    ranks = {ranked.number: place for place, ranked in enumerate(ranking, start=1)}
    owner = trial.owner
    curve = learning_curves(run.folder, [owner]).get(owner, [])
    steps = [point.metrics for point in curve]
    return trial_details(trial, run.goals, steps, ranks.get(trial.number), run.folder)


def _commands_of(run: Run, trial: Trial) -> list[str]:
    """Returns the commands for a trial that can succeed."""
    where, this = text.near(run.folder), f"trial={trial.number}"
    tasks = ["retrain"] if trial.refused or trial.running else ["replay", "retrain"]
    tasks += ["export"] if run.weights(trial).is_file() else []
    return [task_command(task, where, this) for task in tasks]
