"""Limits: when a search ends, since its budget is spent, or since it cannot succeed."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, final

from runner.config.settings import BudgetSettings
from runner.constraints import Constraint
from runner.display.format import figure
from runner.errors import RunFailed
from runner.goals import Goals
from runner.resume import resume_override
from runner.training.service import Limits
from runner.trial import Failure, Metrics, Report, Trial

HOPELESS = 5  # so many failures and not one result: the fault lies not with single trials
FUTILE = 200  # so many refused proposals in a row: hardly any sample of the space fits
MEND = "Change the space so that more of its samples are valid."


def judged(report: Report, goals: Goals, known: Metrics) -> Report:
    """Returns the report of a trial that ended; one without usable objectives has failed. `known`
    are the metrics that the trial reported before."""
    if report.kind not in ("finished", "stopped"):
        return report
    metrics = {**known, **report.metrics}
    for objective in goals.objectives:
        if failure := _without(objective.metric, metrics):
            return replace(report, kind="failed", metrics={}, failure=failure)
    return report


def _without(name: str, metrics: Metrics) -> Failure | None:
    """Returns the failure of a trial with metrics that lack a finite one of a name, if they do."""
    if name not in metrics:
        text = f"it reported no {name!r} but {sorted(metrics)}; set objective.metric"
        return Failure("error", text)
    if not math.isfinite(metrics[name]):
        return Failure("not finite", f"{name} is {metrics[name]}")
    return None


@final
@dataclass(frozen=True)
class Cost:
    """A metric that sums up over the trials that have ended, and the most that it may come to."""

    metric: str
    limit: float


@final
@dataclass(frozen=True)
class Budget:
    """What a run may use up; None: any number. No trial starts once one of these is reached. Trials
    that were refused, or that repeat another one, cost nothing."""

    trials: int
    minutes: float | None = None
    epochs: int | None = None  # passes over the data, of all trials that have ended
    cost: Cost | None = None

    @classmethod
    def of(cls, settings: BudgetSettings) -> Self:
        """Returns the budget of a config."""
        given = settings.cost
        cost = None if given is None else Cost(given.metric, given.limit)
        return cls(settings.trials, settings.minutes, settings.epochs, cost)


@final
class RunLimits:
    """The limits of a run: counts how trials ended, and raises RunFailed at a limit. Time counts
    from the construction."""

    def __init__(
        self,
        budget: Budget,
        limits: Limits,
        folder: Path,
        goals: Goals,
        *,
        goes_on: bool = False,
    ) -> None:
        """With `goes_on`, a trial whose workers die too often ends the run, and not the trial."""
        self._budget = budget
        self._goes_on = goes_on
        self._deadline = time.monotonic() + 60 * (budget.minutes or math.inf)
        self._limits = limits
        self._folder = folder
        self._failures = self._results = 0
        self._samples = 0  # tried by the search, which neither were refused nor share a result
        self._goals = goals
        self._epochs = 0
        self._cost = 0.0
        self._in_a_row = 0  # refused proposals
        self._broken: dict[Constraint, list[float]] = {}  # the figures that broke each, in a row
        self._why = ""  # why the last one was

    def is_within_budget(self) -> bool:
        """Returns whether the search may go on with a new sample."""
        has_time = time.monotonic() < self._deadline
        budget = self._budget
        has_epochs = budget.epochs is None or self._epochs < budget.epochs
        can_pay = budget.cost is None or self._cost < budget.cost.limit
        has_trials = self._samples < budget.trials
        return has_time and has_epochs and can_pay and has_trials

    def observe(self, trial: Trial) -> None:
        """Counts a trial that ended; called as `Strategy.observe` is. One that shares the result
        of another shows only that its sample fits."""
        counts = trial.stage == "search" and trial.duplicate_of is None
        if trial.running:
            self._samples += trial.counts
            return
        if trial.stage == "search":
            self._in_a_row = self._in_a_row + 1 if trial.refused else 0
        if not trial.refused:
            self._broken.clear()
        elif (broken := self._goals.broken(trial.metrics)) is not None:
            self._broken.setdefault(broken, []).append(trial.metrics[broken.metric])
        if trial.refused and trial.failure is not None:
            self._why = trial.failure.text.rstrip(".")
        if trial.duplicate_of is None:
            self._failures += trial.failed and not trial.refused
            self._results += bool(trial.scores) or trial.stopped
        if counts:
            self._samples -= trial.refused and trial.repeat_of is None
            self._epochs += trial.step
            if self._budget.cost is not None:
                self._cost += trial.metrics.get(self._budget.cost.metric, 0.0)

    def check(self, trial: Trial) -> None:
        """Raises RunFailed if an ended trial was one failure, or one refusal, too many."""
        limits, folder = self._limits, self._folder
        if trial.refused:
            self._check_refusals()
            return
        if trial.failed and limits.fail_fast:
            raise RunFailed(
                f"Trial {trial.number} failed ({trial.failure}), and training.fail_fast is on. "
                f"Its files are in {folder}/trials/{trial.number:04d}."
            )
        if trial.failed and self._failures >= HOPELESS and not self._results:
            raise RunFailed(
                f"None of {self._failures} trials has a result; the last one failed with "
                f"{trial.failure}. Their files are in {folder}/trials."
            )
        if limits.max_failures is not None and self._failures > limits.max_failures:
            raise RunFailed(
                f"{self._failures} trials failed, more than training.max_failures="
                f"{limits.max_failures}; the last one: {trial.failure}. Their files are in "
                f"{folder}/trials."
            )

    def check_used_up(self, different: int) -> None:
        """Raises RunFailed if every proposed trial of a space that is used up was refused."""
        if self._why and not self._samples:
            raise RunFailed(
                f"The space is exhausted, and all of its {different} samples were refused; "
                f"the last one: {self._why}. {MEND}"
            )

    def check_cut(self, report: Report) -> None:
        """Raises RunFailed if a trial could not write its results, or if it is to go on after its
        workers have died: it has not ended then."""
        failure, resume = report.failure, resume_override(self._folder)
        if failure is not None and failure.reason == "disk full":
            raise RunFailed(
                f"Trial {report.trial} could not write its results: {failure.text}. Free some "
                f"space, then continue with {resume}."
            )
        if failure is not None and failure.reason == "crashed" and self._goes_on:
            raise RunFailed(
                f"The training was cut: {failure.text}, more often than training.retries="
                f"{self._limits.retries}. Continue with {resume}: from its last checkpoint, if it "
                "has one."
            )

    def _check_refusals(self) -> None:
        if self._in_a_row < FUTILE:
            return
        row = f"{self._in_a_row} proposals in a row were refused"
        if not self._broken:
            raise RunFailed(f"{row}; the last one: {self._why}. {MEND}")
        tightest = max(self._broken, key=lambda one: len(self._broken[one]))
        figures = self._broken[tightest]
        nearest = figure(tightest.metric, min(figures, key=tightest.violation))
        raise RunFailed(
            f"{row}, {len(figures)} of them because of the constraint {tightest.text!r}; the "
            f"nearest had {nearest}. Loosen it, or change the space."
        )
