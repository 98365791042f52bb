"""Questions about modules whose choice is open: the answers become expressions of the choice, which
are resolved per sample."""

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from runner.graph.frontend.literals.references import reference
from runner.graph.frontend.python.abstract import PLAIN, Abstract, Known, is_open, is_same
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.ir.unit import Ref
from runner.nn.recording.construction_record import record_of
from runner.nn.values.expression import Computed, Expression, Variable, is_symbolic
from runner.space.choice import Categorical


def has_open_arguments(module: nn.Module) -> bool:
    """Returns whether a layer was constructed with choices, so that its attributes depend on the
    sample."""
    record = record_of(module) if is_opaque(module) else None
    return record is not None and is_symbolic((record.args, record.kwargs))


def answer(
    ev: Evaluation, module: Any, question: Callable[[nn.Module], Any], name: str = ""
) -> Abstract:
    """Returns the answer to a question about the module that a LayerChoice chooses, or about its
    attribute `name`. Raises Unreadable for another kind of choice, for answers that are no plain
    values, and for an attribute that is not the same whenever it is read."""
    if module.kind != "LayerChoice" or any(is_open(child) for child in module.children()):
        raise ev.error(f"it asks about a {module.kind}, which is not known before the sample is")
    if name and any(_varies(ev, child, name) for child in module.children()):
        raise ev.error(f"{name!r} of a candidate is not known before the model runs")
    answers = [ev.evaluated(question, child) for child in module.children()]
    first = answers[0]
    is_part = isinstance(first, Tensor | nn.Module)
    if not is_part and all(is_same(Known(first), Known(other)) for other in answers):
        return Known(first)
    if not all(isinstance(found, type) or _is_plain(found) for found in answers):
        raise ev.error("the answer to a question about a LayerChoice is no plain value")
    return _among(module, answers)


def _is_plain(thing: object) -> bool:
    if isinstance(thing, tuple):
        return all(map(_is_plain, thing))
    return isinstance(thing, PLAIN)


def _varies(ev: Evaluation, module: nn.Module, name: str) -> bool:
    """Returns whether an attribute of a candidate depends on the sample, or may change."""
    found = inspect.getattr_static(type(module), name, None)
    return (
        ev.around.is_dynamic(module, name)
        or (name not in ("__class__", "__dict__") and inspect.isdatadescriptor(found))
        or (has_open_arguments(module) and not inspect.isroutine(getattr(module, name, None)))
    )


def _among(module: nn.Module, answers: Sequence[Any]) -> Abstract:
    """Returns the one of several answers that belongs to the chosen candidate; classes are written
    as references."""
    index = _index(module)
    chosen = Known(Computed(operator.getitem, (tuple(answers), index)))
    if not any(isinstance(found, type) for found in answers):
        return chosen
    named = [Ref(reference(c)) if isinstance(c, type) else c for c in answers]
    return Known(chosen.thing, lambda: Computed(operator.getitem, (tuple(named), index)))


def _index(module: Any) -> Expression:
    """Returns the number of the candidate that is chosen."""
    choice: Categorical = module.choice
    start = choice.candidates[module.default]
    return Variable(choice, start, range(len(choice.candidates)))


def blocks(module: Any) -> Sequence[tuple[Known, Known]]:
    """Returns the blocks of a Repeat, each with whether the sample has it."""
    return [(Known(child), Known(module.depth > at)) for at, child in enumerate(module.children())]
