"""The folder of a sweep, where Hydra writes `multirun.yaml` before it runs the members."""

import contextlib
from contextvars import ContextVar
from pathlib import Path
from typing import Self, final

from runner.run_folder import check_links

WRITTEN = "multirun.yaml"


@final
class SweepFolder:
    """The folder of a sweep, and what of it was not there before. Made before Hydra writes."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._new = [p for p in (self._path, *self._path.parents) if not p.exists()]
        self._had_file = (self._path / WRITTEN).exists()

    @classmethod
    def checked(cls, path: Path) -> Self:
        """Raises ConfigError for a folder with links that lead out of it: Hydra follows them."""
        check_links(path)
        return cls(path)

    def leave_no_trace(self) -> None:
        """Removes what Hydra made for a sweep of which no member left anything."""
        with contextlib.suppress(OSError):
            if [entry.name for entry in self._path.iterdir()] == [WRITTEN] and not self._had_file:
                (self._path / WRITTEN).unlink()
        for place in self._new:
            with contextlib.suppress(OSError):  # missing, or not empty
                place.rmdir()


# Hydra makes the loader of configs, which finds out where a sweep goes.
sweep_folder: ContextVar[SweepFolder | None] = ContextVar("sweep_folder", default=None)
