"""Decides the choices of a space on its graph."""

from dataclasses import replace
from typing import final
from weakref import WeakKeyDictionary

from runner.graph.argument import Argument, Call
from runner.graph.inputs import inline_inputs
from runner.graph.node import Function
from runner.graph.primitives import KINDS, Ask
from runner.graph.signature import drop_defaults
from runner.graph.unit import Graph, Unit, Weight
from runner.nn.expression import Expression


def decided(graph: Graph, ask: Ask) -> Graph:
    """A graph in which every choice is decided: open units are what was chosen, under the same
    names, and expressions are values.

    Units in which nothing is open are those of the given graph: copy the result before changing
    it. `ask` is asked as often as a choice is met, and answers the same each time.
    """
    deciding = _Deciding(ask)
    twin = graph.copy(deciding.unit(graph.root))
    deciding.finish(twin)
    inline_inputs(twin)
    return twin


@final
class _Deciding:
    """One pass over a tree of units; a unit that stands in two places is decided once."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self._done: dict[Unit, Unit] = {}
        self._copies: list[Unit] = []

    def unit(self, unit: Unit) -> Unit:
        """What a unit becomes: itself where nothing is open; else a copy, all below decided, of
        itself or of what was chosen."""
        if unit not in self._done:
            chosen = unit
            while chosen.grade == "open":
                chosen = KINDS[chosen.name](chosen, self.ask)
            if is_closed(chosen):
                self._done[chosen] = chosen
            self._done[unit] = self._done.get(chosen) or self._copy(chosen)
        return self._done[unit]

    def finish(self, graph: Graph) -> None:
        """Have calls that fill tensors speak of units of the graph; forget those of others."""
        filling = [unit for unit in self._copies if unit.starts]
        units = {unit for _, unit in graph.root.walk()} if filling else set()
        for unit in filling:
            starts = (replace(s, unit=self._done.get(s.unit, s.unit)) for s in unit.starts)
            unit.starts = [
                replace(s, args=self.value(s.args), kwargs=self.value({**s.kwargs}))
                for s in starts
                if s.unit in units
            ]

    def _copy(self, unit: Unit) -> Unit:
        twin = self._done[unit] = unit.shallow()
        self._copies.append(twin)
        for name, child in unit.children.items():
            if child is not None:
                twin.children[name] = self.unit(child)
                twin.changed |= child.grade == "open"
        if (call := unit.call) is not None:
            twin.call = Call(call.target, self.value(call.args), self.value({**call.kwargs}))
            if unit.grade == "basic":
                twin.call = drop_defaults(twin.call)
        twin.attributes = self.value(unit.attributes)
        for weights in (twin.parameters, twin.buffers):
            for name, weight in weights.items():
                if weight is not None:
                    shape, start = self.value(weight.shape), self.value(weight.start)
                    weights[name] = replace(weight, shape=shape, start=start)
        for name, function in unit.functions.items():
            if has_choices(function):
                for node in twin.edit(name).block.walk():
                    if is_open((node.args, {**node.kwargs})):
                        node.args, node.kwargs = self.value(node.args), self.value({**node.kwargs})
        return twin

    def value(self, argument: Argument) -> Argument:
        """An argument with every expression in it replaced by its value."""
        kind = type(argument)
        if isinstance(argument, Expression):
            return argument.resolve(self.ask)
        if kind is tuple or kind is list:
            return kind(self.value(item) for item in argument)
        if kind is dict:
            return {self.value(k): self.value(v) for k, v in argument.items()}
        if kind is slice:
            return slice(*map(self.value, (argument.start, argument.stop, argument.step)))
        if kind is Call:
            return Call(argument.target, self.value(argument.args), self.value(argument.kwargs))
        if kind is Unit:
            return self.unit(argument)
        return argument


def is_open(argument: Argument) -> bool:
    """Whether a choice is left open anywhere in an argument."""
    kind = type(argument)
    if isinstance(argument, Expression):
        return True
    if kind is tuple or kind is list:
        return any(map(is_open, argument))
    if kind is dict:
        return any(is_open(k) or is_open(v) for k, v in argument.items())
    if kind is slice:
        return is_open((argument.start, argument.stop, argument.step))
    if kind is Call:
        return is_open(argument.args) or is_open({**argument.kwargs})
    return kind is Unit and argument.grade == "open"


_closed: WeakKeyDictionary[Unit, bool] = WeakKeyDictionary()


def is_closed(unit: Unit) -> bool:
    """Whether nothing is open in a unit and below, and no Placeholder waits there."""
    if unit not in _closed:
        _closed[unit] = False  # for a unit that stands in itself
        _closed[unit] = (
            unit.grade != "open"
            and unit.name != "Placeholder"
            and not any(map(is_open, (unit.call, unit.attributes)))
            and not any(is_open((s.args, {**s.kwargs})) for s in unit.starts)
            and not any(map(_is_open_weight, (*unit.parameters.values(), *unit.buffers.values())))
            and not any(map(has_choices, unit.functions.values()))
            and all(child is None or is_closed(child) for child in unit.children.values())
        )
    return _closed[unit]


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
