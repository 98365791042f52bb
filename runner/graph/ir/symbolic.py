"""Finds symbolic choices: in arguments, and in units and functions of the graph of a space."""

from typing import final
from weakref import WeakKeyDictionary

from runner.errors import GraphError
from runner.graph.ir.argument import Argument, is_constant, leaves_and_calls
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Block
from runner.graph.ir.unit import Unit, labels
from runner.nn.values.expression import Expression


def is_symbolic(argument: Argument) -> bool:
    """Returns whether an argument contains a symbolic choice."""
    return not is_constant(argument) and any(map(_is_choice, leaves_and_calls(argument)))


def _is_choice(leaf: Argument) -> bool:
    if type(leaf) is Unit:
        return bool(leaf.grade == "symbolic")
    return isinstance(leaf, Expression)


def check_resolved(unit: Unit, path: str) -> None:
    """Raises GraphError if a unit is a symbolic choice, or if its arguments contain one."""
    if unit.grade == "symbolic":
        names = ", ".join(map(repr, unit.facts.get("labels", ()))) or "without a label"
        raise GraphError(
            f"{path or 'the model'}: the {unit.name} ({names}) is still symbolic; resolve it "
            "before generating source."
        )
    for _, argument in unit.arguments():
        if is_symbolic(argument):
            raise GraphError(f"{path or 'the model'} ({unit.name}): {symbolic_message(argument)}")


def symbolic_message(argument: Argument) -> str:
    """Returns an error message for an argument without source, since it contains a symbolic
    choice."""
    found = next(filter(_is_choice, leaves_and_calls(argument)))
    names = " and ".join(repr(choice.label) for choice in getattr(found, "choices", ()))
    return f"{names or repr(found)} is still symbolic; resolve it before generating source."


def asked_together(graph: Graph) -> set[frozenset[str]]:
    """Returns the labels of choices on which one branch depends together: by its condition, and
    those of the branches around it."""
    found: set[frozenset[str]] = set()
    for _, unit in graph.units():
        for function in unit.functions.values():
            _questions(function.block, frozenset(), found)
    return found


def _questions(block: Block, around: frozenset[str], found: set[frozenset[str]]) -> None:
    for node in block.nodes:
        asked = around
        if node.op == "if" and isinstance(node.args[0], Expression):
            asked = around | {choice.label for choice in node.args[0].choices}
            if len(asked) > 1:
                found.add(asked)
        for inner in node.blocks:
            _questions(inner, asked, found)


@final
class SymbolicUnits:
    """Symbolic choices in the units and functions of the graph of a space. The graph is not
    changed, so results are memoized as long as its units live."""

    def __init__(self) -> None:
        self._closed: WeakKeyDictionary[Unit, bool] = WeakKeyDictionary()
        self._labels: WeakKeyDictionary[Unit, frozenset[str]] = WeakKeyDictionary()
        self._made_by_call: WeakKeyDictionary[Unit, bool] = WeakKeyDictionary()
        self._has_choices: WeakKeyDictionary[Function, bool] = WeakKeyDictionary()

    def is_closed(self, unit: Unit) -> bool:
        """Returns whether a unit and all below contain no symbolic choices and no Placeholders."""
        if unit not in self._closed:
            self._closed[unit] = False  # for a unit that contains itself
            self._closed[unit] = (
                unit.grade != "symbolic"
                and unit.name != "Placeholder"
                and not is_symbolic([unit.call, *_contents(unit)])
                and not any(map(self.has_choices, unit.functions.values()))
                and all(child is None or self.is_closed(child) for child in unit.children.values())
            )
        return self._closed[unit]

    def labels(self, unit: Unit) -> frozenset[str]:
        """Returns the labels of all choices in a unit and below, except in its own constructor
        call."""
        if unit not in self._labels:
            self._labels[unit] = frozenset()  # for a unit that contains itself
            functions = filter(self.has_choices, unit.functions.values())
            nodes = [(n.args, {**n.kwargs}) for f in functions for n in f.block.walk()]
            found = {*labels(unit)} if unit.grade == "symbolic" else set()
            found |= self.labels_in([*_contents(unit), nodes])
            for child in unit.children.values():
                if child is not None and not self.is_closed(child):
                    found |= self.labels(child) | self.labels_in(child.call)
            self._labels[unit] = frozenset(found)
        return self._labels[unit]

    def is_made_by_call(self, unit: Unit) -> bool:
        """Returns whether the constructor of a unit is passed all choices in it and below, so that
        its call makes the same once they are resolved."""
        if unit not in self._made_by_call:
            self._made_by_call[unit] = self.labels(unit) <= self.labels_in(unit.call)
        return self._made_by_call[unit]

    def labels_in(self, argument: Argument) -> frozenset[str]:
        """Returns the labels of all choices in an argument, including those in units."""
        found: set[str] = set()
        for leaf in leaves_and_calls(argument):
            if isinstance(leaf, Expression):
                found.update(choice.label for choice in leaf.choices)
            elif type(leaf) is Unit:
                found |= self.labels(leaf) | self.labels_in(leaf.call)
        return frozenset(found)

    def has_choices(self, function: Function) -> bool:
        """Returns whether a node of a function has a choice among its arguments."""
        if function not in self._has_choices:
            nodes = function.block.walk()
            self._has_choices[function] = any(is_symbolic((n.args, {**n.kwargs})) for n in nodes)
        return self._has_choices[function]


def _contents(unit: Unit) -> list[Argument]:
    """Returns the arguments of a unit, except those of its constructor call and of nodes."""
    return [argument for what, argument in unit.arguments() if what != "the call"]
