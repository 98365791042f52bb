"""The sweeper `hydra/sweeper=runner_optuna`: an Optuna sampler over any keys of the config.

Hydra imports this file whenever it starts, so it imports nothing that takes long.
"""

from collections.abc import Callable, Mapping
from typing import Any, final

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@final
class RunnerOptunaSweeper(Sweeper):
    """Proposes the members of a sweep one after the other, from the results of those before."""

    def __init__(
        self,
        sampler: Callable[..., Any],
        n_trials: int,
        n_jobs: int,
        seed: int,
        params: Mapping[str, Any] | None,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "sampler": sampler,
            "n_trials": n_trials,
            "n_jobs": n_jobs,
            "seed": seed,
        }
        self._params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Makes the launcher of the members."""
        from hydra.core.plugins import Plugins

        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the sweep that the overrides of the command line describe."""
        from runner.sweeps.optuna_sweep import OptunaSweep

        assert self.hydra_context and self.config and self.launcher
        params = [f"{key}={value}" for key, value in self._params.items()]
        OptunaSweep(
            self.launcher, self.hydra_context.config_loader, self.config, **self._arguments
        ).run([*params, *arguments])
