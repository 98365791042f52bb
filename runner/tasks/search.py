"""The task `search`: runs the experiment, shows progress, and exports the best models."""

from pathlib import Path
from typing import final

from runner.config.settings import Settings
from runner.search import search
from runner.tasks.task import Task


@final
class Search(Task):
    """A task that runs or resumes a search; all results are in the folder of the run."""

    def run(self, settings: Settings, folder: Path) -> float | None:
        return search(settings, folder)
