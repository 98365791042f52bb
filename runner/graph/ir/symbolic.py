"""What is open in a graph: choices among its arguments, and the units that hold them.

The graph of a space never changes, so what is found of its units and functions is kept.
"""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from runner.errors import GraphError
from runner.graph.ir.argument import Argument, leaves_and_calls
from runner.graph.ir.constants import PLAIN
from runner.graph.ir.function import Function
from runner.graph.ir.unit import Unit, Weight, labels
from runner.nn.expression import Expression


def is_open(argument: Argument) -> bool:
    """Whether a choice is left open anywhere in an argument."""
    return type(argument) not in PLAIN and any(map(_is_choice, leaves_and_calls(argument)))


def _is_choice(leaf: Argument) -> bool:
    if type(leaf) is Unit:
        return bool(leaf.grade == "open")
    return isinstance(leaf, Expression)


def check_decided(unit: Unit, path: str) -> None:
    """Raises GraphError where a unit is a choice that is left open, or one is left open in what
    its constructor is given."""
    if unit.grade == "open":
        names = ", ".join(map(repr, unit.facts.get("labels", ()))) or "without a label"
        raise GraphError(
            f"{path or 'the model'}: the {unit.name} ({names}) is still open; decide it before "
            "generating source."
        )
    for argument in _given(unit):
        if is_open(argument):
            raise GraphError(f"{path or 'the model'} ({unit.name}): {left_open(argument)}")


def _given(unit: Unit) -> Iterator[Argument]:
    """What the constructor of a unit is given, and does."""
    if unit.call is not None:
        yield unit.call
    for weight in (*unit.parameters.values(), *unit.buffers.values()):
        if weight is not None:
            yield weight.shape
            yield weight.start
    yield from unit.attributes.values()
    for start in unit.starts:
        yield start.args, {**start.kwargs}, start.part
    for edit in unit.edits:
        yield edit.value
    yield from unit.hooked


def left_open(argument: Argument) -> str:
    """What to say of an argument that has no source, since a choice in it is left open."""
    found = next(filter(_is_choice, leaves_and_calls(argument)))
    names = " and ".join(repr(choice.label) for choice in getattr(found, "choices", ()))
    return f"{names or repr(found)} is still open; decide it before generating source."


_closed: WeakKeyDictionary[Unit, bool] = WeakKeyDictionary()


def is_closed(unit: Unit) -> bool:
    """Whether nothing is open in a unit and below, and no Placeholder waits there."""
    if unit not in _closed:
        _closed[unit] = False  # for a unit that stands in itself
        _closed[unit] = (
            unit.grade != "open"
            and unit.name != "Placeholder"
            and not any(map(is_open, (unit.call, unit.attributes)))
            and not any(is_open((s.args, {**s.kwargs}, s.part)) for s in unit.starts)
            and not any(map(_is_open_weight, (*unit.parameters.values(), *unit.buffers.values())))
            and not any(map(has_choices, unit.functions.values()))
            and all(child is None or is_closed(child) for child in unit.children.values())
        )
    return _closed[unit]


_labels: WeakKeyDictionary[Unit, frozenset[str]] = WeakKeyDictionary()


def open_labels(unit: Unit) -> frozenset[str]:
    """The labels of all that is open in a unit and below, but for its own constructor call."""
    if unit not in _labels:
        _labels[unit] = frozenset()  # for a unit that stands in itself
        weights = [
            w and (w.shape, w.start) for w in (*unit.parameters.values(), *unit.buffers.values())
        ]
        calls = [(start.args, {**start.kwargs}, start.part) for start in unit.starts]
        nodes = [(n.args, {**n.kwargs}) for f in unit.functions.values() if has_choices(f)
                 for n in f.block.walk()]  # fmt: skip
        found = set(labels(unit) if unit.grade == "open" else ())
        found.update(*map(labels_in, (unit.attributes, weights, calls, nodes)))
        for child in unit.children.values():
            if child is not None and not is_closed(child):
                found |= open_labels(child) | labels_in(child.call)
        _labels[unit] = frozenset(found)
    return _labels[unit]


def labels_in(argument: Argument) -> frozenset[str]:
    """The labels of all choices that are open anywhere in an argument, units included."""
    found: set[str] = set()
    for leaf in leaves_and_calls(argument):
        if isinstance(leaf, Expression):
            found.update(choice.label for choice in leaf.choices)
        elif type(leaf) is Unit:
            found |= open_labels(leaf) | labels_in(leaf.call)
    return frozenset(found)


def _is_open_weight(weight: Weight | None) -> bool:
    return weight is not None and is_open((weight.shape, weight.start))


_has_choices: WeakKeyDictionary[Function, bool] = WeakKeyDictionary()


def has_choices(function: Function) -> bool:
    """Whether a node of a function has a choice among its arguments; functions are shared by
    copies of a graph, so this is looked up once for all of them."""
    if function not in _has_choices:
        nodes = function.block.walk()
        _has_choices[function] = any(is_open((n.args, {**n.kwargs})) for n in nodes)
    return _has_choices[function]
