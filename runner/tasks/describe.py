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
from runner.space import search_space
from runner.tables import count_text, structure_table
from runner.tasks.task import Task
from runner.trial import Trial


@final
class Describe(Task):
    """Shows the choices, their number, and the default model. Records nothing."""

    def run(self, settings: Settings, folder: Path) -> None:
        assembly.check(settings)
        engine = assembly.make_engine(settings)
        assembly.make_space(settings, engine)  # refuses labels that clash
        structure = engine.space.describe()
        progress.show(_head(settings), Text(), structure_table(structure), Text())
        params = text.compact(parameters(engine))
        progress.show(Text(f"{count_text(structure)}; the default one has {params} parameters"))
        if settings.search:
            hyper = structure_table(search_space(settings.search).describe())
            progress.show(Text("\nHyper-parameters that are searched as well", style="bold"), hyper)


def _head(settings: Settings) -> RenderableType:
    """The space, and how its models would be made, trained and picked."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for group in ("engine", "evaluator", "data", "strategy"):
        grid.add_row(Text(group), Text(text.name(getattr(settings, group))), style="dim")
    return Group(Text(text.clean(str(settings.space["_target_"])), style="bold"), grid)


def parameters(engine: Engine) -> int:
    """The number of parameters of the default model."""
    [job] = engine.plan([Trial(number=0, sample=engine.space.default(), seed=0)])
    try:
        with torch.device("meta"):
            [model] = engine.build(job.recipe)
    except RuntimeError:  # code that looks at values, which tensors on meta do not have
        [model] = engine.build(job.recipe)
    return sum(parameter.numel() for parameter in model.parameters())
