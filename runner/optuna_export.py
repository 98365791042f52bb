"""A run as an Optuna study, for optuna-dashboard and for all that reads such studies."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, final

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from runner.display import format as text
from runner.errors import ConfigError, RunFailed
from runner.goals import Goals
from runner.learning_curves import CurvePoint, LearningCurves
from runner.quiet_optuna import quiet
from runner.repeats import merged
from runner.results import Run
from runner.space.choice import JsonValue, key
from runner.store import read
from runner.trial import State, Trial

MANY = 16  # different numbers of a label from which on it counts as a range
_HEAD = b'{"op_code'  # of a journal, which may be replaced
_LARGE = 2**53  # integers up to this are exact as floating-point numbers, which Optuna stores


@final
@dataclass(frozen=True)
class _StudyParameter:
    """What a label is in a study."""

    name: str
    distribution: BaseDistribution
    written: bool = False  # whether its values are categories, written as JSON

    def of(self, value: JsonValue) -> Any:
        """Returns a value as the study has it."""
        return json.dumps(value) if self.written else value


def write_study(folder: Path, target: Path) -> str:
    """Writes the run of a folder as an Optuna study, and returns the command that opens it in
    optuna-dashboard. Only reads the folder, and imports nothing that the run names.

    The target becomes a journal of Optuna; an earlier one there is replaced. Trials keep their
    numbers. Those that were stopped early, or ended on a lower rung, are pruned ones; those that
    were refused, or have no result, are failed ones. Of several trainings of a sample, the first
    has their means, and the others are pruned ones. A label is a parameter of its own candidates,
    as far as trials have tried them: the record does not tell the others. Raises ConfigError if the
    folder has no run, or the target is something else; RunFailed if it cannot be written.
    """
    run = Run(folder)
    curves = LearningCurves()
    record = read(run.folder, run.goals, see=curves.see)
    _check_target(target)
    parameters = _parameters(record.trials)
    reports = {} if run.goals.several else curves.found
    journal = _Journal()
    study = _study(journal, run)
    results = {trial.number: trial for trial in merged(record.trials)}
    for trial in record.trials:
        curve = reports.get(trial.number, [])
        result = results.get(trial.number, trial)
        study.add_trial(_frozen(result, run.goals, parameters, curve))
    new = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        JournalFileBackend(str(new)).append_logs(journal.logs)
        new.replace(target)
    except OSError as error:
        raise RunFailed(f"The study {target} cannot be written: {error}.") from error
    return f"optuna-dashboard {shlex.quote(str(text.near(target)))}"


@final
class _Journal(BaseJournalBackend):
    """A journal in memory: a file would be locked and synchronized for each of many trials."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs


def _check_target(target: Path) -> None:
    """Raises ConfigError if a file would be replaced that is no study."""
    if not os.path.lexists(target):
        return
    is_study = target.is_file() and not target.is_symlink()
    if is_study:
        with target.open("rb") as file:
            is_study = file.read(len(_HEAD)) == _HEAD
    if not is_study:
        raise ConfigError(f"{target} exists and is no Optuna study; choose another name.")


def _study(journal: _Journal, run: Run) -> optuna.Study:
    """Returns a new study, without trials, in a journal."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with quiet(ExperimentalWarning):
            modes = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
            study = optuna.create_study(
                storage=JournalStorage(journal),
                study_name=text.clean(run.folder.name) or "run",
                directions=[modes[one.mode] for one in run.goals.objectives],
            )
            study.set_metric_names([text.clean(one.metric) for one in run.goals.objectives])
    finally:
        optuna.logging.set_verbosity(level)
    study.set_user_attr("run", text.clean(str(run.folder)))
    study.set_user_attr("seed", run.settings.seed)
    return study


def _frozen(
    trial: Trial,
    goals: Goals,
    parameters: Mapping[str, _StudyParameter],
    curve: Sequence[CurvePoint],
) -> FrozenTrial:
    """Returns a trial as Optuna has it."""
    state = _state(trial)
    values = [goals.objectives[i].turned(score) for i, score in enumerate(trial.scores)]
    asked = [(parameters[label], value) for label, value in trial.sample.items()]
    first = goals.objectives[0].metric
    reported = {step: point.metrics.get(first) for step, point in enumerate(curve, start=1)}
    constraints = {one.text: one for one in goals.constraints if one.metric in trial.metrics}
    violations = {t: one.violation(trial.metrics[one.metric]) for t, one in constraints.items()}
    began = trial.proposed_at if trial.started_at is None else trial.started_at
    ended = None if trial.ended_at is None else datetime.fromtimestamp(trial.ended_at)
    frozen = FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=None,
        values=values if state is TrialState.COMPLETE else None,
        datetime_start=datetime.fromtimestamp(began),
        datetime_complete=ended,
        params={parameter.name: parameter.of(value) for parameter, value in asked},
        distributions={parameter.name: parameter.distribution for parameter, _ in asked},
        user_attrs=_told(trial),
        # The dashboard reads the older form of constraints, and Optuna itself the newer one.
        system_attrs={"constraints": [*violations.values()]} if violations else {},
        intermediate_values={step: value for step, value in reported.items() if value is not None},
    )
    for name, violation in violations.items():
        frozen.set_constraint(text.clean(name), violation)
    return frozen


def _state(trial: Trial) -> TrialState:
    if trial.running:
        return TrialState.RUNNING
    if trial.scored and trial.repeat_of is not None:  # it is a part of the first one's result
        return TrialState.PRUNED
    if trial.scored:
        return TrialState.COMPLETE
    if trial.stopped or (trial.state is State.FINISHED and trial.partial):
        return TrialState.PRUNED
    return TrialState.FAIL


def _told(trial: Trial) -> dict[str, Any]:
    """Returns what else is known of a trial: its metrics, and what it is for."""
    told: dict[str, Any] = {text.clean(name): value for name, value in trial.metrics.items()}
    about = {
        "state": str(trial.state), "stage": trial.stage, "seed": trial.seed,
        "seconds": trial.seconds, "duplicate of": trial.duplicate_of, "parent": trial.parent,
        "repeat of": trial.repeat_of, "failure": trial.failure and text.clean(str(trial.failure)),
    }  # fmt: skip
    return {**told, **{f"trial: {k}": v for k, v in about.items() if v is not None}}


def _parameters(trials: Sequence[Trial]) -> dict[str, _StudyParameter]:
    """Returns the parameter of each label, with the values that trials have tried."""
    tried: dict[str, dict[str, JsonValue]] = {}
    for trial in trials:
        for label, value in trial.sample.items():
            tried.setdefault(label, {}).setdefault(key(value), value)
    names: dict[str, str] = {}
    for label in tried:
        name = text.clean(label)
        while name in names.values():
            name += "'"
        names[label] = name
    return {label: _parameter(names[label], [*found.values()]) for label, found in tried.items()}


def _parameter(name: str, values: Sequence[JsonValue]) -> _StudyParameter:
    kinds = {type(value) for value in values}
    numbers = [float(value) for value in values if _is_number(value)]
    if len(numbers) == len(values) >= MANY:
        ends = min(numbers), max(numbers)
        if kinds == {int}:
            return _StudyParameter(name, IntDistribution(int(ends[0]), int(ends[1])))
        return _StudyParameter(name, FloatDistribution(*ends))
    # Optuna has no lists and the like, and would mix up 1 and True.
    plain = all(_is_number(v) or isinstance(v, bool | str | None) for v in values)
    shown = all(value.isprintable() for value in values if isinstance(value, str))
    written = not plain or not shown or (bool in kinds and bool(kinds & {int, float}))
    choices = [json.dumps(value) if written else value for value in values]
    return _StudyParameter(name, CategoricalDistribution(choices), written)


def _is_number(value: JsonValue) -> bool:
    """Returns whether a value is a number that Optuna can store, other than a bool."""
    if type(value) is float:
        return isfinite(value)
    return type(value) is int and abs(value) <= _LARGE
