"""Task: what a call of the program does with its config."""

from abc import ABC, abstractmethod
from pathlib import Path

from runner.config.settings import Settings


class Task(ABC):
    """One thing to do. Made from its config node alone."""

    @abstractmethod
    def run(self, settings: Settings, folder: Path) -> float | None:
        """Do it. `folder` is that of the run, existing or to be made.

        Returns the best value of the objective, for sweeps; NaN when no trial has one, and None
        where a task has no such thing.
        """
