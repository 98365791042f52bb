"""A sweep as a search by an Optuna sampler, in which each trial is a run.

Proposals depend on nothing but the seed, their number and the results of the members before, so
that a sweep that goes on proposes what it would have.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import final

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, ListConfig
from optuna.samplers import BaseSampler

from runner.errors import ConfigError, RunnerError, one_line, require
from runner.goals import Goals, Objective
from runner.strategies.optuna import OptunaStrategy
from runner.sweeps.recorded_launcher import RecordedLauncher
from runner.sweeps.swept_space import SweptSpace
from runner.trial import State, Trial

WHERE = "hydra.sweeper"
MOST = 1_000_000  # of trials, and of those at a time
OURS = ("strategy.sampler", f"{WHERE}.sampler")  # the key that a message of the strategy names


@final
class OptunaSweep:
    """The members of a sweep, proposed in batches of `n_jobs`, each from all results before it."""

    def __init__(
        self,
        launcher: Launcher,
        loader: ConfigLoader,
        config: DictConfig,
        *,
        sampler: Callable[..., BaseSampler],
        n_trials: int,
        n_jobs: int,
        seed: int,
    ) -> None:
        """Raises ConfigError for an argument that cannot be used."""
        for key, value in {"n_trials": n_trials, "n_jobs": n_jobs}.items():
            is_count = type(value) is int and 1 <= value <= MOST
            require(is_count, f"{WHERE}.{key}", value, "a whole number from 1")
        require(type(seed) is int and seed >= 0, f"{WHERE}.seed", seed, "a whole number from 0")
        if not callable(sampler):
            raise ConfigError(
                f"{WHERE}.sampler must be a sampler of Optuna's with _partial_: true; each "
                "proposal creates one."
            )
        assert isinstance(launcher, RecordedLauncher), "sweeps are run by `python -m runner`"
        self._launcher = launcher
        self._loader, self._config = loader, config
        self._sampler, self._seed = sampler, seed
        self._n_trials, self._n_jobs = n_trials, n_jobs

    def run(self, overrides: Sequence[str]) -> None:
        """Runs the members. Raises ConfigError for overrides or a sampler that cannot be used."""
        swept = SweptSpace(overrides, self._loader)
        try:
            self._search(swept)
        except ConfigError as error:
            raise type(error)(str(error).replace(*OURS)) from error

    def _search(self, swept: SweptSpace) -> None:
        strategy = OptunaStrategy(swept.space, self._seed, sampler=self._sampler)
        strategy.goals = Goals(tuple(Objective(f"{i}") for i in range(self._objectives)))
        strategy.check()
        for first in range(0, self._n_trials, self._n_jobs):
            numbers = range(first, min(first + self._n_jobs, self._n_trials))
            trials = [self._proposed(strategy, number) for number in numbers]
            given = [swept.overrides(trial.sample) for trial in trials]
            if first == 0:
                self._check_first(given[0])
            self._launcher.launch(given, first)
            for trial in trials:
                strategy.observe(self._ended(trial))

    @property
    def _objectives(self) -> int:
        """The number of objectives that each member has."""
        given = self._config.objective
        return len(given) if isinstance(given, ListConfig) else 1

    @staticmethod
    def _proposed(strategy: OptunaStrategy, number: int) -> Trial:
        try:
            trial = Trial(number, strategy.propose(number), seed=0)
        except RunnerError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{WHERE}.sampler cannot propose member {number}: {one_line(error)}."
            ) from error
        strategy.observe(trial)
        return trial

    def _check_first(self, overrides: Sequence[str]) -> None:
        """Raises an error if the first member has no config: then it is rather the sweep that is
        wrong. Others without one fail alone."""
        self._loader.load_sweep_config(self._config, [*overrides])

    def _ended(self, trial: Trial) -> Trial:
        """Returns a trial with the result of its member; it failed if the member did, or has
        another number of objectives."""
        scores = tuple(self._launcher.driver.member(trial.number).scores)
        if len(scores) != self._objectives:
            return replace(trial, state=State.FAILED)
        return replace(trial, state=State.FINISHED, scores=scores)
