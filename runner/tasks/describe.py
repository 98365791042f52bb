"""The task `describe`: show what would be searched, without running anything."""

from pathlib import Path
from typing import final

import torch
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner import assembly, progress, text
from runner.config import Settings
from runner.engines.engine import Engine
from runner.graph.drawing.picture import svg
from runner.graph.graph import Graph
from runner.space import search_space
from runner.tables import count_text, structure_table
from runner.tasks.task import Task
from runner.trial import Trial

PICTURE = "graph.svg"


@final
class Describe(Task):
    """Shows the choices, their number, and the default model; with an engine that makes a graph,
    leaves a picture of it."""

    def run(self, settings: Settings, folder: Path) -> None:
        assembly.check(settings)
        engine = assembly.make_engine(settings)
        assembly.make_space(settings, engine)  # refuses labels that clash
        structure = engine.space.describe()
        progress.show(_head(settings), Text(), structure_table(structure), Text())
        params = text.compact(parameters(engine))
        progress.show(Text(f"{count_text(structure)}; the default one has {params} parameters"))
        graph = engine.graph(engine.space.default())
        if graph is not None:
            _show_graph(graph, folder)
        if explained := engine.explain():
            progress.show(Text(f"\n{explained}"))
        if settings.search:
            hyper = structure_table(search_space(settings.search).describe())
            progress.show(Text("\nHyper-parameters that are searched as well", style="bold"), hyper)


def _head(settings: Settings) -> RenderableType:
    """The space, and how its models would be made, trained and picked."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for group in ("engine", "evaluator", "data", "strategy"):
        grid.add_row(Text(group), Text(text.name(getattr(settings, group))), style="dim")
    return Group(Text(text.clean(str(settings.space["_target_"])), style="bold"), grid)


def _show_graph(graph: Graph, folder: Path) -> None:
    """The graph of the default model: its units, what could not be read, its text, a picture."""
    counts = ", ".join(f"{count} {grade}" for grade, count in graph.grades().items() if count)
    progress.show(Text(f"\nThe default model as a graph: units: {counts}", style="bold"))
    for note in graph.notes:
        progress.note(str(note))
    progress.show_lines(str(graph))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PICTURE).write_text(svg(graph))
    progress.show_lines(f"A picture of it lies in {folder / PICTURE}")


def parameters(engine: Engine) -> int:
    """The number of parameters of the default model."""
    [job] = engine.plan([Trial(number=0, sample=engine.space.default(), seed=0)])
    [recipe] = job.recipes
    try:
        with torch.device("meta"):
            model = engine.build(recipe)
    except RuntimeError:  # code that looks at values, which tensors on meta do not have
        model = engine.build(recipe)
    return sum(parameter.numel() for parameter in model.parameters())
