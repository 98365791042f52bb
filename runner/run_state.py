"""Runs and their states, as far as their folders tell: running, done, or cut."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from runner.config.settings import Settings
from runner.display import format as text
from runner.store import RECORD, writer
from runner.trial import TOP, Trial


@final
@dataclass(frozen=True)
class RunState:
    """How far a run is. `can_go_on` is whether resuming it would train more."""

    text: str
    can_go_on: bool


def state_of_run(folder: Path, settings: Settings, trials: Sequence[Trial]) -> RunState:
    """Returns the state of a run, given its trials. Only reads."""
    done = sum(trial.counts and not trial.running for trial in trials)
    total = settings.budget.trials
    count = f"{done} of {text.counted(total, 'trial')}"
    if holder := writer(folder):
        return RunState(f"running, {count} ended{holder}", False)
    open_trials = sum(trial.running for trial in trials)
    if done >= total and not open_trials:
        return RunState(f"done, {count}", False)
    if not open_trials and (folder / TOP).is_dir():  # the space or another budget was used up
        return RunState(f"ended with {count}", False)
    return RunState(f"cut after {count}", True)


def searched(settings: Settings) -> str:
    """Names what a run searched, and how."""
    engine = text.name(settings.engine).removesuffix("Engine").lower()
    if str(settings.task["_target_"]).endswith(".Retrain"):
        trial = settings.task.get("trial")
        which = f"trial {'best' if trial is None else str(trial).strip()}"
        which = "a sample" if settings.task.get("sample") else which
        of = text.clean(f"{which} of {settings.task.get('run')}")
        return f"{text.name(settings.space)}, {of} trained again, engine {engine}"
    return f"{text.name(settings.space)} with {text.name(settings.strategy)}, engine {engine}"


def runs_below(folder: Path) -> Iterator[Path]:
    """Yields the folders of runs at or below a folder, in order. Follows no links below it, so that
    `latest` is no second run."""
    for place, folders, files in os.walk(folder):
        if RECORD in files:
            folders.clear()
            yield Path(place)
        folders.sort()
