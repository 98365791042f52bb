"""Writes the report of a run: reads its record, and puts `report.html` into its folder."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runner.display import format as text
from runner.errors import ConfigError
from runner.learning_curves import LearningCurves
from runner.report.environment import noted_environment
from runner.report.exported import metrics_on_test
from runner.report.facts import RunFacts
from runner.report.importance import importance_of
from runner.report.page import page
from runner.report.plotly_script import plotly_script
from runner.space.structure import Part
from runner.store import read

REPORT = "report.html"


def write_report(
    folder: Path,
    *,
    parts: Sequence[Part] = (),
    graph: str = "",
    notes: Sequence[str] = (),
    is_running: bool = False,
    quick: bool = False,
) -> Path:
    """Writes the report of the run in a folder, and returns its path. Only reads the record, which
    a search may be writing; imports and runs nothing that it names.

    `parts` are the choices of its space, if the space can be asked; without them, the report knows
    the values seen. `graph` is a picture of the winner's graph, as SVG. `is_running` says that the
    search goes on; `quick` leaves out what takes long. Raises like `runner.store.read`, ConfigError
    if there is a folder in its place, and OSError, which names the report.
    """
    folder = folder.resolve()
    target = folder / REPORT
    curves = LearningCurves()
    record = read(folder, see=curves.see)
    if target.is_dir() and not target.is_symlink():
        raise ConfigError(
            f"{text.clean(str(text.near(target)))} is a folder, but the report is a file of that "
            "name; rename or delete the folder."
        )
    facts = RunFacts(
        folder=folder,
        record=record,
        reports=curves.found,
        tested=metrics_on_test(folder, record.trials),
        parts=parts,
        environment=noted_environment(folder),
        importance=None if quick else importance_of(record.trials, parts),
        graph=graph,
        is_running=is_running,
        notes=notes,
    )
    _replace(target, page(facts, plotly_script()).encode())
    return target


def _replace(target: Path, content: bytes) -> None:
    """Puts a file in the place of another one at once. A link there is replaced, not followed."""
    try:
        _replace_by_new(target, content)
    except OSError as error:  # of the new file, of which nobody knows
        raise OSError(error.errno, error.strerror, str(target)) from error


def _replace_by_new(target: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
