"""Builds the graph of a graded model: its units with their functions, children and choices."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from runner.graph.frontend.grades import GradedModel
from runner.graph.frontend.literals.literal import reference
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Ref, Unit
from runner.nested import leaves
from runner.nn.layer import Placeholder
from runner.nn.values.expression import Expression


def build(graded: GradedModel) -> Graph:
    """Connects the units of a model; they have no weights, attributes or constructor calls yet."""
    for module, unit in graded.items():
        _fill(module, unit, graded)
    graph = Graph(graded.units[id(graded.readings.model)])
    graph.functions = graded.readings.functions
    graph.tensors = graded.readings.tensors
    return graph


def _fill(module: nn.Module, unit: Unit, graded: GradedModel) -> None:
    """Sets the functions and children of a unit, and the facts about its choices."""
    if unit.grade == "symbolic":
        unit.facts = _facts(module)
    elif unit.grade == "graph":
        unit.functions = graded.functions(module)
    if isinstance(module, Placeholder):
        unit.facts["labels"] = (module.name,)
    if unit.grade != "basic":
        for name, child in module._modules.items():
            unit.children[name] = None if child is None else graded.units[id(child)]


def _facts(module: nn.Module) -> dict[str, Any]:
    """Returns the facts about a choice, with the labels of all choices in it."""
    facts = dict(module.facts())  # type: ignore[operator]
    for name, fact in facts.items():
        if callable(fact) and not isinstance(fact, nn.Module | Expression):
            facts[name] = Ref(reference(fact))
    if "labels" not in facts:
        facts["labels"] = tuple(dict.fromkeys(_labels(facts)))
    return facts


def _labels(facts: dict[str, Any]) -> Iterator[str]:
    """Yields the labels of all choices in the facts about a primitive."""
    for fact in leaves(facts, subclasses=True):
        if isinstance(fact, Expression):
            yield from (choice.label for choice in fact.choices)
        elif isinstance(getattr(fact, "label", None), str):
            yield fact.label
