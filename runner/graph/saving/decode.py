"""Reads what a graph is made of from plain JSON; see `codec.py` for the form."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

from runner.choice import Categorical, Choice
from runner.errors import GraphError
from runner.graph.node import Block, Function, Node, Parameter, Spec, Value
from runner.graph.saving.encode import CHOICES, Json, computes
from runner.graph.signature import locate
from runner.graph.unit import Call, Ref, Start, Stored, Unit, Weight
from runner.nn.expression import Computed, Variable


@final
class Reader:
    """Reads the tables first, then what is in them."""

    def __init__(self, data: Mapping[str, Json]) -> None:
        self._expressions: list[Json] = data["expressions"]
        self._read: dict[int, Variable | Computed] = {}
        self.units = [Unit(unit["grade"], Ref(unit["cls"])) for unit in data["units"]]
        self.bodies = [self._body(body) for body in data["bodies"]]
        for unit, written in zip(self.units, data["units"], strict=True):
            self._fill(unit, written)

    def _fill(self, unit: Unit, data: Mapping[str, Json]) -> None:
        if unit.grade not in ("graph", "shell", "basic", "open"):
            raise GraphError(f"There is no grade {unit.grade!r} of units.")
        unit.call = data["call"] and self._call(data["call"])
        unit.children = self._table(data["children"])
        unit.parameters = {n: w and self._weight(w) for n, w in data["parameters"].items()}
        unit.buffers = {n: w and self._weight(w) for n, w in data["buffers"].items()}
        unit.attributes = self._table(data["attributes"])
        unit.facts = self._table(data["facts"])
        unit.functions = {name: self.bodies[i] for name, i in data["functions"].items()}
        unit.edits = [(path, name, self.argument(value)) for path, name, value in data["edits"]]
        unit.starts = [self._start(*start) for start in data["starts"]]
        unit.hooked = [self._call(call) for call in data["hooked"]]
        unit.changed = data["changed"]

    def _table(self, data: Mapping[str, Json]) -> dict[str, Any]:
        return {name: self.argument(written) for name, written in data.items()}

    def _call(self, data: Json) -> Call:
        target, args, kwargs = data
        return Call(target, self.arguments(args), self._table(kwargs))

    def _start(self, unit: int, name: str, target: str, args: Json, kwargs: Json) -> Start:
        return Start(self.units[unit], name, target, self.arguments(args), self._table(kwargs))

    def _weight(self, data: Json) -> Weight:
        shape, dtype, requires_grad, persistent, start = data
        return Weight(self.arguments(shape), dtype, requires_grad, persistent, self.argument(start))

    # Bodies

    def _body(self, data: Mapping[str, Json]) -> Function:
        parameters = [Parameter(n, self.arguments(d), a) for n, d, a in data["parameters"]]
        function = Function(data["name"], parameters)
        values: list[Value] = []
        for value, written in zip(function.inputs, data["block"]["inputs"], strict=True):
            values.append(_described(value, written))
        self._nodes(function.block, data["block"]["nodes"], values)
        return function

    def _nodes(self, block: Block, nodes: list[Json], values: list[Value]) -> None:
        for op, target, args, kwargs, blocks, outputs, line in nodes:
            positional = [self.argument(argument, values) for argument in args]
            named = {name: self.argument(argument, values) for name, argument in kwargs.items()}
            if op == "output":
                block.end.args = positional
                continue
            node = Node(block, op, target, positional, named, line)
            block.nodes.insert(-1, node)
            for written in blocks:
                inner = node.add_block()
                values += [_described(inner.add_input(v[0]), v) for v in written["inputs"]]
                self._nodes(inner, written["nodes"], values)
            values += [_described(node.add_output(v[0]), v) for v in outputs]

    # Arguments

    def arguments(self, data: list[Json]) -> tuple[Any, ...]:
        return tuple(self.argument(item) for item in data)

    def argument(self, data: Json, values: list[Value] | None = None) -> Any:
        if not isinstance(data, dict):
            return data
        ((kind, content),) = data.items()
        if kind == "value":
            if values is None:
                raise GraphError("A value stands outside of a function.")
            return values[content]
        if kind in _NESTED:
            return _NESTED[kind](self.argument(item, values) for item in content)
        if kind == "dict":
            return {self.argument(k, values): self.argument(v, values) for k, v in content}
        return _READERS[kind](self, content)

    def _expression(self, place: int) -> Variable | Computed:
        if place not in self._read:
            self._read[place] = self._make(self._expressions[place])
        return self._read[place]

    def _make(self, data: Json) -> Variable | Computed:
        if isinstance(data[0], dict):
            choice, start, options = self.arguments([*data[:2], {"tuple": data[2]}])
            return _variable(choice, start, options)
        target, args = data
        if not computes(target):
            raise GraphError(f"An expression cannot compute with {target!r}.")
        return Computed(locate(target), self.arguments(args))


def _variable(choice: Choice, start: Any, options: tuple[Any, ...]) -> Variable:
    """A variable whose value in the default model is `start`."""
    if not isinstance(choice, Categorical):
        return Variable(choice, start, options)
    likeness = [(type(option), option) for option in options]
    return Variable(choice, choice.candidates[likeness.index((type(start), start))], options)


def _described(value: Value, written: Json) -> Value:
    value.name, *spec = written
    value.spec = Spec(tuple(spec[0]), spec[1]) if spec else None
    return value


def _read_choice(data: Json) -> Choice:
    name, *fields = data
    kinds: dict[str, Callable[..., Choice]] = {kind.__name__: kind for kind in CHOICES}
    return kinds[name](*(tuple(f) if isinstance(f, list) else f for f in fields))


_NESTED: Mapping[str, Callable[[Iterator[Any]], Any]] = {
    "tuple": tuple,
    "list": list,
    "slice": lambda parts: slice(*parts),
}

_READERS: Mapping[str, Callable[[Reader, Json], Any]] = {
    "float": lambda reader, text: float(text),
    "complex": lambda reader, parts: complex(*map(float, parts)),
    "ellipsis": lambda reader, nothing: ...,
    "ref": lambda reader, target: Ref(target),
    "call": Reader._call,
    "stored": lambda reader, name: Stored(name),
    "unit": lambda reader, place: reader.units[place],
    "weight": Reader._weight,
    "expression": Reader._expression,
    "choice": lambda reader, data: _read_choice(data),
}
