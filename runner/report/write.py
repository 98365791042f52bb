"""Writes the report of a run: reads its record, and puts `report.html` into its folder."""

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
from runner.whole_files import write_whole

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
    write_whole(target, page(facts, plotly_script()), has_rivals=True)
    return target
