"""Questions about modules whose choice is open: the answers become expressions of the choice, which
are resolved per sample."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from runner.graph.frontend.literals.references import reference
from runner.graph.frontend.python.abstract import PLAIN, Abstract, Known, is_same
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.reading.opaque import is_choice, is_opaque
from runner.graph.ir.unit import Ref
from runner.nn.recording.construction_record import record_of
from runner.nn.values.expression import Computed, Expression, Variable, is_symbolic
from runner.space.choice import Categorical


def is_open(module: object) -> bool:
    """Returns whether a module is a choice of modules."""
    return isinstance(module, nn.Module) and is_choice(type(module))


def has_open_arguments(module: nn.Module) -> bool:
    """Returns whether a layer was constructed with choices, so that its attributes depend on the
    sample."""
    record = record_of(module) if is_opaque(module) else None
    return record is not None and is_symbolic((record.args, record.kwargs))


def answer(ev: Evaluation, module: Any, question: Callable[[nn.Module], Any]) -> Abstract:
    """Returns the answer to a question about the module that a LayerChoice chooses. Raises
    Unreadable for another kind of choice, and for answers that are no plain values."""
    if module.kind != "LayerChoice" or any(is_open(child) for child in module.children()):
        raise ev.error(f"it asks about a {module.kind}, which is not known before the sample is")
    answers = [ev.evaluated(question, child) for child in module.children()]
    if all(is_same(Known(answers[0]), Known(other)) for other in answers):
        return Known(answers[0])
    if not all(isinstance(found, (*PLAIN, tuple, type)) for found in answers):
        raise ev.error("the answer to a question about a LayerChoice is no plain value")
    return _among(module, answers)


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


def blocks(module: Any) -> Sequence[tuple[nn.Module, Abstract]]:
    """Returns the blocks of a Repeat, each with whether the sample has it."""
    return [(child, Known(module.depth > at)) for at, child in enumerate(module.children())]
