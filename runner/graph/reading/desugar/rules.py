"""The table of rules, in the order in which they are applied."""

from collections.abc import Callable

from runner.graph.reading.desugar.augmented import split_augmented
from runner.graph.reading.desugar.bools import keep_bools
from runner.graph.reading.desugar.conditions import evaluate_once
from runner.graph.reading.desugar.constants import fold_constants
from runner.graph.reading.desugar.decorators import refuse_wrapped
from runner.graph.reading.desugar.indices import name_indices
from runner.graph.reading.desugar.instances import type_numbers
from runner.graph.reading.desugar.logical import give_operands
from runner.graph.reading.desugar.loops import iterate_live
from runner.graph.reading.desugar.modules import answer_about_modules
from runner.graph.reading.desugar.parameters import annotate_defaults
from runner.graph.reading.desugar.queries import answer_queries
from runner.graph.reading.desugar.source import Source
from runner.graph.reading.desugar.writes import keep_effects

# A rule rewrites a construct that means something else to TorchScript, or raises GraphError.
RULES: tuple[Callable[[Source], None], ...] = (
    refuse_wrapped,
    annotate_defaults,
    answer_queries,
    answer_about_modules,
    iterate_live,
    split_augmented,
    name_indices,
    fold_constants,
    type_numbers,
    give_operands,
    keep_bools,
    evaluate_once,
    keep_effects,
)


def desugar(source: Source) -> None:
    """Rewrites a function into a form that means the same to TorchScript as to Python."""
    for rule in RULES:
        rule(source)
