"""Converts a model to its graph, and validates the result if there is an example."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from runner.graph.frontend.convert import convert as read
from runner.graph.frontend.frontends import AUTO
from runner.graph.frontend.live_modules.kept_modules import Keep, Kept
from runner.graph.frontend.live_modules.parametrizations import plain_class
from runner.graph.ir.graph import Graph, Note
from runner.graph.validation.equivalence import CannotRun
from runner.graph.validation.translation_validation import (
    UnitMismatch,
    ValidationOutcome,
    validate,
)


def convert(model: nn.Module, *inputs: Any, frontend: str = AUTO, **kwargs: Any) -> Graph:
    """Returns the graph of a model. With an example of its inputs, the conversion is validated: a
    unit that computes something else than its module is read by another front end, or kept opaque
    if there is none. `Graph.notes` list the limitations of the conversion.

    `frontend` is what reads the code of the model: "python", from its source; "torchscript"; or
    "auto", the first of them that can. Raises GraphError for another front end,
    and for a model whose parameters have no shapes or whose buffers have no values.
    """
    if not inputs and not kwargs:
        return read(model, Keep(), frontend)

    def check(graph: Graph) -> ValidationOutcome:
        return validate(graph, model, *inputs, **kwargs)

    return converted(model, Keep(), check, frontend)


def converted(
    model: nn.Module,
    keep: Keep,
    check: Callable[[Graph], ValidationOutcome],
    frontend: str = AUTO,
) -> Graph:
    """Converts a model repeatedly, distrusting ever more readings and keeping ever more units
    opaque (`keep` grows), until `check` finds no mismatch. A graph that remains wrong has a note
    with `Note.lost`."""
    while True:
        graph = read(model, keep, frontend)
        try:
            outcome = check(graph)
        except CannotRun as error:
            graph.notes.append(_unchecked(model, f"it does not run on the example: {error}"))
            return graph
        if outcome.mismatches and keep_more(keep, outcome):
            continue
        graph.notes += [_wrong(model, found) for found in outcome.mismatches]
        if outcome.skipped:
            graph.notes.append(_checked_in_part(model, outcome.skipped))
        return graph


def keep_more(keep: Keep, outcome: ValidationOutcome) -> bool:
    """Adds the readings of units that validation found wrong, or their parents if they are kept
    already; returns whether anything was added."""
    progress = [_add(keep, outcome, found) for found in outcome.mismatches]
    return any(progress)


def _add(keep: Keep, outcome: ValidationOutcome, found: UnitMismatch) -> bool:
    path, whole = found.path, False
    while True:
        module = outcome.model.get_submodule(path)
        text = f"{_place(module)}it computes something else ({found.text})"
        if whole:
            added = keep.add(module, Kept(text, whole))
        else:
            unit = outcome.graph.unit(path)
            is_read = unit.grade == "graph"
            added = is_read and keep.distrust(module, unit.provenance.frontend, text)
        if added:
            return True
        if not path and whole:
            return False
        path, whole = path.rpartition(".")[0], True


def _place(module: nn.Module) -> str:
    """Returns "net.py:12: " for the forward of a module's class; "" if its source is unknown."""
    cls = plain_class(module)
    try:
        file, (_, line) = inspect.getsourcefile(cls.forward), inspect.getsourcelines(cls.forward)
    except (OSError, TypeError):
        return ""
    return f"{Path(file).name}:{line}: " if file else ""


def _unchecked(model: nn.Module, why: str) -> Note:
    return Note("", type(model).__qualname__, f"Its graph was not validated, since {why}")


def _checked_in_part(model: nn.Module, why: str) -> Note:
    text = f"Its graph was validated in eval mode only, since {why}"
    return Note("", type(model).__qualname__, text)


def _wrong(model: nn.Module, found: UnitMismatch) -> Note:
    where = f"at {found.path!r}, " if found.path else ""
    text = f"Its graph computes something other than the model: {where}{found.text}."
    return Note("", type(model).__qualname__, text, lost=True)
