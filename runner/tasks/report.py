"""The task `report`: writes the report of a run, one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from runner.config.composition_errors import of_file
from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.errors import RunFailed, RunnerError, one_line
from runner.ranking import top
from runner.report.write import write_report
from runner.resume import folder_of
from runner.run_folder import check_links
from runner.space.structure import Part
from runner.store import Record, read, writer
from runner.tasks.task import Task
from runner.trust import RecordedConfig

if TYPE_CHECKING:
    from runner.engines.engine import Engine


@final
class Report(Task):
    """A task that writes `report.html` into the folder of a run, which may be running or somebody
    else's: what the run names is imported only if it is trusted."""

    uses = ()

    def __init__(self, run: str) -> None:
        """`run` is the folder of the run."""
        self.of = run

    def run(self, settings: Settings, folder: Path) -> None:
        of = folder_of("run", self.of)
        with progress.waiting("reading the run"):
            record = read(of)
        check_links(of)
        asked = _ask(record, of, settings.trust)
        with progress.waiting("writing the report"):
            path = _written(of, asked)
        progress.note(f"The report is in {text.clean(str(text.near(path)))}.")


@final
@dataclass(frozen=True)
class _Asked:
    """What the space of a run says of itself."""

    parts: Sequence[Part] = ()
    graph: str = ""  # of the winner's model, as SVG; "": the engine creates none
    notes: Sequence[str] = ()  # why it says nothing


def _written(folder: Path, asked: _Asked) -> Path:
    try:
        return write_report(
            folder, parts=asked.parts, graph=asked.graph, notes=asked.notes,
            is_running=bool(writer(folder)),
        )  # fmt: skip
    except OSError as error:
        raise RunFailed(f"The report was not written: {of_file(error)}.") from error


def _ask(record: Record, folder: Path, trust: Sequence[str]) -> _Asked:
    """Asks the space of a run for its choices, and the engine for the winner's graph. Whatever
    fails is told in the report: the values seen and the record are enough for the rest."""
    try:
        with progress.waiting("asking the space of the run"):
            from runner import parts  # here: this imports torch
            from runner.engines.engine import make

            settings = RecordedConfig.of(record, folder, trust).checked()
            engine = make(settings)
            found = parts.make_space(settings, engine).describe().parts
        with progress.waiting("drawing the graph of the best model"):
            return _Asked(found, _graph(engine, record))
    except Exception as error:
        why = str(error) if isinstance(error, RunnerError) else one_line(error)
        progress.note(f"The space of the run was not asked: {text.sentence(why)}")
        return _Asked(notes=[f"The space was not asked for its candidates: {why}"])


def _graph(engine: "Engine", record: Record) -> str:
    from runner.graph.drawing.picture import svg  # here: with what it imports, it takes seconds

    for best in top(record.trials, 1):
        if (graph := engine.graph(best.sample)) is not None:
            return svg(graph)
    return ""
