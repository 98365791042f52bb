"""The rules of desugaring, in the order in which they are applied."""

from collections.abc import Callable

from runner.graph.frontend.torchscript.desugar.augmented import split_augmented
from runner.graph.frontend.torchscript.desugar.bools import keep_bools
from runner.graph.frontend.torchscript.desugar.conditions import evaluate_once
from runner.graph.frontend.torchscript.desugar.constants import fold_constants
from runner.graph.frontend.torchscript.desugar.decorators import refuse_wrapped
from runner.graph.frontend.torchscript.desugar.indices import name_indices
from runner.graph.frontend.torchscript.desugar.logical import give_operands
from runner.graph.frontend.torchscript.desugar.loops import iterate_live
from runner.graph.frontend.torchscript.desugar.modules import answer_about_modules
from runner.graph.frontend.torchscript.desugar.number_types import type_numbers
from runner.graph.frontend.torchscript.desugar.parameters import annotate_defaults
from runner.graph.frontend.torchscript.desugar.queries import answer_queries
from runner.graph.frontend.torchscript.desugar.writes import keep_effects
from runner.graph.frontend.torchscript.source import FunctionSource

# A rule rewrites constructs that mean something else to TorchScript, or raises GraphError.
RULES: tuple[Callable[[FunctionSource], None], ...] = (
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


def desugar(source: FunctionSource) -> None:
    """Rewrites a function into a form that means the same to TorchScript as to Python."""
    for rule in RULES:
        rule(source)
