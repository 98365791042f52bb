"""The contract of tasks: what a command does with its config."""

from abc import ABC, abstractmethod
from pathlib import Path

from runner.config.settings import Settings


class Task(ABC):
    """A command. Built from its config node alone."""

    @abstractmethod
    def run(self, settings: Settings, folder: Path) -> float | None:
        """Runs the command. `folder` is that of the run, which may not exist yet.

        Returns the best value of the objective, for sweeps: NaN if no trial has one, and None if
        the task has no objective.
        """
