"""From a model to its graph, validated on an example where there is one."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from runner.graph.frontend.convert import convert as read
from runner.graph.frontend.kept_modules import Keep, Kept
from runner.graph.frontend.parametrizations import plain_class
from runner.graph.ir.graph import Graph, Note
from runner.graph.validation.equivalence import CannotRun
from runner.graph.validation.translation_validation import (
    UnitMismatch,
    ValidationOutcome,
    validate,
)


def convert(model: nn.Module, *inputs: Any, **kwargs: Any) -> Graph:
    """The graph of a model. With an example of its inputs, the conversion is validated: a unit that
    computes something else than its module is kept as it is. `Graph.notes` say what was not read.

    Raises GraphError for a model without shapes or values to read, and on a Python that TorchScript
    does not support.
    """
    if not inputs and not kwargs:
        return read(model)
    return converted(model, Keep(), lambda graph: validate(graph, model, *inputs, **kwargs))


def converted(model: nn.Module, keep: Keep, check: Callable[[Graph], ValidationOutcome]) -> Graph:
    """The graph of a model, read again with ever more units kept as they are (`keep` grows), until
    `check` finds nothing. A graph that stays wrong has a note that says so (`Note.lost`)."""
    while True:
        graph = read(model, keep)
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
    """Adds the units that validation found wrong, or where those are kept already, what holds them;
    returns whether there was something left to add."""
    progress = [_add(keep, outcome, found) for found in outcome.mismatches]
    return any(progress)


def _add(keep: Keep, outcome: ValidationOutcome, found: UnitMismatch) -> bool:
    path, whole = found.path, False
    while True:
        module = outcome.model.get_submodule(path)
        kept = Kept(f"{_place(module)}{_OTHERWISE} ({found.text})", whole)
        is_read = whole or outcome.graph.unit(path).grade == "graph"
        if is_read and keep.add(module, kept):
            return True
        if not path and whole:
            return False
        path, whole = path.rpartition(".")[0], True


def _place(module: nn.Module) -> str:
    """ "net.py:12: ", the forward of a module's class; "" if its source is not known."""
    cls = plain_class(module)
    try:
        file, (_, line) = inspect.getsourcefile(cls.forward), inspect.getsourcelines(cls.forward)
    except (OSError, TypeError):
        return ""
    return f"{Path(file).name}:{line}: " if file else ""


def _unchecked(model: nn.Module, why: str) -> Note:
    return Note(
        "", type(model).__qualname__, f"Its graph was not checked by running it, since {why}"
    )


def _checked_in_part(model: nn.Module, why: str) -> Note:
    text = f"Its graph was checked by running it in eval mode only, since {why}"
    return Note("", type(model).__qualname__, text)


def _wrong(model: nn.Module, found: UnitMismatch) -> Note:
    where = f"at {found.path!r}, " if found.path else ""
    text = f"Its graph computes something else than the model: {where}{found.text}."
    return Note("", type(model).__qualname__, text, lost=True)


_OTHERWISE = "TorchScript reads this otherwise than Python"
