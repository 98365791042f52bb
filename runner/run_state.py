"""The state of a run, as far as its folder tells: running, done, or cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from runner.config.settings import Settings
from runner.display import format as text
from runner.store import writer
from runner.trial import Trial


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
    if not open_trials and (folder / "top").is_dir():  # the space or another budget was used up
        return RunState(f"ended with {count}", False)
    return RunState(f"cut after {count}", True)
