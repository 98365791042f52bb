"""The task `describe`: shows what a search would explore, without running anything."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import nn

from runner import parts
from runner.config.mutator_entries import Places
from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.display.tables import (
    GAP,
    Fitted,
    count_text,
    plain_table,
    reasons,
    structure_table,
)
from runner.engines.engine import Engine
from runner.engines.model_space import WITHOUT_VALUES, quiet
from runner.engines.refusals import refusals
from runner.errors import Refused, refusal
from runner.goals import Goals
from runner.graph.drawing.picture import svg
from runner.graph.ir.graph import Graph
from runner.measuring import EarlyMeasures
from runner.space.sample import DrawError, generator
from runner.space.space import search_space
from runner.tasks.task import Task
from runner.trial import Metrics

PICTURE = "graph.svg"
PATHS = 4  # matches of a mutator that are named
NONE = "the sample of all first candidates has no valid model"
DRAWS = 100  # samples that estimate how many are refused
SCREENED = 200  # samples that estimate how many keep the constraints


@final
class Describe(Task):
    """A task that shows the choices, the number of samples, and the default model; for engines with
    graphs, also the graph and a picture of it; for mutators, their matches; and how often samples
    are refused."""

    def run(self, settings: Settings, folder: Path) -> None:
        parts.check(settings)
        with progress.waiting("building the default model"):
            engine = parts.make_engine(settings)
            parts.make_space(settings, engine)  # raises on conflicting labels
        with progress.waiting("finding which choices depend on others"):
            structure = engine.space.describe()
        progress.show(_head(settings), Text(), structure_table(structure), Text())
        with progress.waiting("building the default model"):
            places = _places_of(engine)
            default = _default(engine)
        if places:
            progress.show(Fitted(partial(_places, places)), Text())
        progress.show(Text(f"{count_text(structure)}; {default}"))
        mutated = bool(places) or (default.startswith(NONE) and not engine.space.refuses)
        if mutated or engine.space.refuses:
            numbers = progress.track(range(DRAWS), "drawing samples")
            refused = refusals(engine, numbers, mutated=mutated)
            progress.show(Fitted(partial(_refused, refused)))
        if settings.constraints:
            measured = parts.make_early_measures(settings, engine)
            goals = Goals.of_settings(settings)
            numbers = progress.track(range(SCREENED), "measuring samples")
            figures = [figures_of(engine, measured, number) for number in numbers]
            progress.show(_kept(figures, goals))
        with suppress(DrawError, Refused):
            with progress.waiting("drawing the graph of the default model"):
                graph = engine.graph(engine.space.default())
            if graph is not None:
                _show_graph(graph, folder)
        with progress.waiting("planning a group"):
            explained = engine.explain()
        if explained:
            progress.show(Text(f"\n{explained}"))
        if settings.search:
            hyper = structure_table(search_space(settings.search).describe())
            progress.show(Text("\nHyper-parameters that are searched as well", style="bold"), hyper)
        if (fidelity := Goals.of_settings(settings).fidelity) is not None:
            rungs = structure_table(fidelity.space.describe())
            progress.show(Text("\nRungs, from which trials are promoted", style="bold"), rungs)


def _head(settings: Settings) -> RenderableType:
    """Lists the space, its parts, and the engine, evaluator, data and strategy."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for key, node in settings.model.items():
        if isinstance(node, dict) and "_target_" in node:
            grid.add_row(
                Text(text.clean(key)), Text(text.clean(str(node["_target_"]))), style="dim"
            )
    for group in ("engine", "evaluator", "data", "strategy"):
        grid.add_row(Text(group), Text(text.name(getattr(settings, group))), style="dim")
    if (screen := settings.screen) is not None:
        chosen = f"the best of {screen.candidates} samples by {text.clean(screen.proxy)}"
        grid.add_row(Text("screen"), Text(chosen), style="dim")
    return Group(Text(text.clean(str(settings.space["_target_"])), style="bold"), grid)


def _default(engine: Engine) -> str:
    """Returns the size of the default model, or why there is none."""
    try:
        return f"the default one has {text.compact(parameters(engine))} parameters"
    except (DrawError, Refused) as error:
        if (refused := refusal(error)) is None:
            raise
        return f"{NONE}: {text.sentence(str(refused))}"


def _refused(refusals: Sequence[str], whole: bool) -> RenderableType:
    """Summarizes how many samples were refused, and why: the most frequent reasons first."""
    if not refusals:
        return Text(f"None of {DRAWS} random samples is refused.")
    found, rest = reasons(refusals, whole)
    verb = "is" if len(refusals) == 1 else "are"
    head = Text(f"{len(refusals)} of {DRAWS} random samples {verb} refused", style="bold")
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(justify="right")
    for count, why in found:
        grid.add_row(Text(str(count)), Text(why))
    if rest:
        grid.add_row(Text(str(rest)), Text("for other reasons"))
    return Group(head, grid)


def figures_of(engine: Engine, measured: EarlyMeasures, number: int) -> Metrics | None:
    """Returns what is known of a random sample before training; None if it has no model."""
    try:
        sample = engine.space.random(generator(0, "constraints", number))
        return measured.figures(sample, engine.key(sample))
    except Refused as refused:
        return refused.metrics or None
    except DrawError:
        return None


def _kept(figures: Sequence[Metrics | None], goals: Goals) -> RenderableType:
    """Returns how many samples keep each constraint, and all of them."""
    measured = [one for one in figures if one is not None]
    known = [c for c in goals.constraints if any(c.metric in one for one in measured)]
    kept = sum(goals.broken(one) is None for one in measured)
    total = len(figures)
    lines = [Text(f"{kept} of {total} random samples keep the constraints", style="bold")]
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(justify="right")
    for one in known:
        values = [found[one.metric] for found in measured if one.metric in found]
        ends = " to ".join(text.figure(one.metric, end) for end in (min(values), max(values)))
        count = sum(one.violation(value) == 0 for value in values)
        grid.add_row(Text(str(count)), Text(f"{text.clean(one.text)} (from {ends})"))
    later = [c.text for c in goals.constraints if c not in known]
    rest = [Text(f"Known only in a search: {text.clean(', '.join(later))}.")] if later else []
    return Group(*(lines if known else ()), grid, *rest)


def _places_of(engine: Engine) -> Sequence[Places]:
    with suppress(Refused):  # the default sample may be invalid
        return engine.places()
    return ()


def _places(places: Sequence[Places], whole: bool) -> RenderableType:
    """Returns a table of each mutator's matches in the default model: number and first paths, or
    all of them."""
    table = plain_table()
    table.add_column("mutator", no_wrap=True)
    table.add_column("matches", justify="right")
    table.add_column("where")
    for found in places:
        word = text.clean(found.word) + (" (tied)" if found.tied else "")
        paths = [text.clean(path) for path in found.paths or ()]
        most = len(paths) if whole else PATHS
        first = ", ".join(paths[:most]) + (", …" if len(paths) > most else "")
        table.add_row(*map(Text, (word, "" if found.paths is None else str(len(paths)), first)))
    return table


def _show_graph(graph: Graph, folder: Path) -> None:
    """Shows the graph of the default model: its units, notes, text, and a picture."""
    counts = ", ".join(f"{count} {grade}" for grade, count in graph.grades().items() if count)
    progress.show(Text(f"\nThe default model as a graph: units: {counts}", style="bold"))
    for note in graph.notes:
        progress.note(str(note))
    progress.show_lines(str(graph))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PICTURE).write_text(svg(graph))
    progress.show_lines(f"Its picture is in {folder / PICTURE}")


def parameters(engine: Engine) -> int:
    """Returns the number of parameters of the default model."""
    recipe = engine.recipe_of(engine.space.default())
    for way in WITHOUT_VALUES:
        with suppress(RuntimeError), way(), quiet():  # code may read values
            return _count(engine.build(recipe))
    return _count(engine.build(recipe))


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
