"""The folder that Hydra makes for a run or a sweep, before the program itself is called."""

import contextlib
from contextvars import ContextVar
from pathlib import Path
from typing import final

SWEEP = "multirun.yaml"  # Hydra writes it before it composes the members of a sweep


@final
class HydraFolder:
    """A folder in which Hydra is going to write, and what of it is there before."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._new = [p for p in (self._path, *self._path.parents) if not p.exists()]
        self._had_file = (self._path / SWEEP).exists()

    def leave_no_trace(self) -> None:
        """Removes what Hydra made, if neither a run nor a member of the sweep left anything: the
        config of the sweep, empty logs, and empty folders that are new."""
        with contextlib.suppress(OSError):
            left = [*self._path.iterdir()]
            empty_logs = all(p.suffix == ".log" and not p.stat().st_size for p in left)
            only_sweep = [p.name for p in left] == [SWEEP] and not self._had_file
            if only_sweep or (empty_logs and self._path in self._new):
                for path in left:
                    path.unlink()
        for place in self._new:
            with contextlib.suppress(OSError):  # missing, or not empty
                place.rmdir()


# Hydra makes the loader of configs, which finds out where Hydra writes.
hydra_folder: ContextVar[HydraFolder | None] = ContextVar("hydra_folder", default=None)
