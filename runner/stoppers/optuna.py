"""Any Optuna pruner as a stopper (https://optuna.readthedocs.io/en/stable/reference/pruners.html)."""

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import final

from optuna import Study
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from runner.errors import ConfigError, one_line
from runner.goals import Direction, Goals
from runner.quiet_optuna import quiet
from runner.stoppers.stopper import Stopper
from runner.trial import State, Trial

_NAME = "runner"
_REHEARSED = 6  # trials, and epochs of each, on which a pruner is tried before a search


@final
class OptunaStopper(Stopper):
    """One pruner over a study in memory, which holds what was observed, as Optuna's own loop would.

    `pruner()` creates an `optuna.pruners.BasePruner`. It sees the values of the metric as they were
    reported, and the direction of the objective. A step is the number of epochs trained so far, so
    that a resource is a number of epochs; Optuna's own examples count from 0. Trials that repeat
    another one are left out. A stopped trial is pruned, one without the metric has failed.
    """

    def __init__(
        self,
        goals: Goals,
        *,
        metric: str | None,
        mode: Direction | None,
        pruner: Callable[..., BasePruner],
    ) -> None:
        super().__init__(goals, metric=metric, mode=mode)
        self.pruner = pruner
        self._goals = goals
        self._metric, self._mode = metric, mode
        self._storage = InMemoryStorage()
        better = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
        self._id = self._storage.create_new_study([better[self.objective.mode]], _NAME)
        try:
            with quiet():
                self._study = Study(_NAME, self._storage, pruner=pruner())
        except Exception as error:
            raise ConfigError(f"stopper.pruner cannot be created: {one_line(error)}") from error
        self._known: dict[int, int] = {}  # trial number -> number in the study, until it ends
        self._reached: dict[int, int] = {}  # trial number -> steps observed
        self._stopped: set[int] = set()  # trials that are to stop, or were stopped

    def check(self) -> None:
        other = OptunaStopper(self._goals, metric=self._metric, mode=self._mode, pruner=self.pruner)
        try:
            for number in range(_REHEARSED):
                trial = Trial(number, {}, seed=0)
                other.observe(trial)
                for step in range(1, _REHEARSED + 1):
                    metrics = {self.objective.metric: float((number * step) % 5)}
                    trial = replace(trial, metrics=metrics, step=step)
                    other.observe(trial)
                other.observe(replace(trial, state=State.FINISHED))
        except Exception as error:
            raise ConfigError(f"stopper.pruner cannot decide: {one_line(error)}") from error

    def observe(self, trial: Trial) -> None:
        if trial.duplicate_of is not None:
            return
        if not trial.running:
            self._end(trial)
        elif trial.number not in self._known:
            template = create_trial(state=TrialState.RUNNING)
            self._known[trial.number] = self._storage.create_new_trial(self._id, template)
        elif trial.step > self._reached.get(trial.number, 0):
            self._reached[trial.number] = trial.step
            self._report(trial)

    def should_stop(self, trial: Trial) -> bool:
        return trial.number in self._stopped

    def _report(self, trial: Trial) -> None:
        """Passes on a report, and decides."""
        value = trial.metrics.get(self.objective.metric)
        if value is None or trial.number in self._stopped:
            return
        place = self._known[trial.number]
        self._storage.set_trial_intermediate_value(place, trial.step, value)
        with quiet():
            if self._study.pruner.prune(self._study, self._storage.get_trial(place)):
                self._stopped.add(trial.number)

    def _end(self, trial: Trial) -> None:
        place = self._known.pop(trial.number)
        self._reached.pop(trial.number, None)
        self._stopped.discard(trial.number)
        value = trial.metrics.get(self.objective.metric)
        if trial.stopped:
            self._storage.set_trial_state_values(place, TrialState.PRUNED)
        elif trial.failed or value is None or not isfinite(value):
            self._storage.set_trial_state_values(place, TrialState.FAIL)
        else:
            self._storage.set_trial_state_values(place, TrialState.COMPLETE, [value])
