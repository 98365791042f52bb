"""The contract of tasks: what a command does with its config."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from runner.config.settings import Settings


class Task(ABC):
    """A command. Built from its config node alone.

    `of_run` says that the command is about the run in the folder of its key `run`: its settings are
    those of that run, with the overrides of the command line applied. `uses` are the keys of the
    config that it depends on beside its own; overrides of others are refused. None: all.
    """

    of_run: ClassVar[bool] = False
    uses: ClassVar[Collection[str] | None] = None

    @abstractmethod
    def run(self, settings: Settings, folder: Path) -> float | None:
        """Runs the command. `folder` is its own, for what it writes, and may not exist yet.

        Returns the best value of the objective, for sweeps: NaN if no trial has one, and None if
        the task has no objective.
        """
