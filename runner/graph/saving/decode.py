"""Reads what a graph is made of from plain JSON; see `codec.py` for the form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, final, get_args

from runner.choice import Categorical, Choice
from runner.errors import GraphError
from runner.graph.node import Block, Function, Node, Op, Parameter, Spec, Value
from runner.graph.saving.encode import CHOICES, Json, computes
from runner.graph.signature import locate
from runner.graph.unit import Call, Grade, Ref, Start, Stored, Unit, Weight
from runner.graph.weight import Place
from runner.nn.expression import Computed, Expression, Variable


@final
class Reader:
    """Reads the tables first, then what is in them."""

    def __init__(self, data: Mapping[str, Json]) -> None:
        self._expressions = of(list, data["expressions"])
        self._read: dict[int, Variable | Computed] = {}
        written = of(list, data["units"])
        self.units = [Unit(_grade(unit["grade"]), Ref(text(unit["cls"]))) for unit in written]
        self.bodies = [self._body(body) for body in of(list, data["bodies"])]
        for unit, its in zip(self.units, written, strict=True):
            self._fill(unit, its)

    def unit(self, place: Json) -> Unit:
        """A unit of the table."""
        return nth(self.units, place)

    def functions(self, data: Json) -> dict[str, Function]:
        """Functions by name."""
        return {name: nth(self.bodies, place) for name, place in of(dict, data).items()}

    def _fill(self, unit: Unit, data: Mapping[str, Json]) -> None:
        unit.call = maybe(self._call, data["call"])
        unit.children = {n: maybe(self._child, c) for n, c in data["children"].items()}
        unit.parameters = {n: maybe(self._weight, w) for n, w in data["parameters"].items()}
        unit.buffers = {n: maybe(self._weight, w) for n, w in data["buffers"].items()}
        unit.attributes = self._table(data["attributes"])
        unit.inherits = of(bool, data["inherits"])
        unit.facts = self._table(data["facts"])
        unit.functions = self.functions(data["functions"])
        edits = of(list, data["edits"])
        unit.edits = [(text(path), text(name), self.argument(value)) for path, name, value in edits]
        unit.starts = [self._start(*start) for start in of(list, data["starts"])]
        unit.hooked = [self._call(call) for call in of(list, data["hooked"])]
        unit.changed, unit.mutated = of(bool, data["changed"]), of(bool, data["mutated"])
        unit.origin = None if (origin := data.get("origin")) is None else text(origin)
        unit.inserted = of(bool, data.get("inserted", False))

    def _child(self, data: Json) -> Unit:
        ((kind, place),) = data.items()
        if kind != "unit":
            raise GraphError(f"A child is a {kind}, not a unit.")
        return self.unit(place)

    def _table(self, data: Json) -> dict[str, Any]:
        return {text(name): self.argument(written) for name, written in of(dict, data).items()}

    def _call(self, data: Json) -> Call:
        target, args, kwargs = of(list, data)
        return Call(text(target), self.arguments(args), self._table(kwargs))

    def _start(self, unit: Json, name: Json, call: Json, part: Json, place: Json) -> Start:
        called = self._call(call)
        steps = tuple(self._call(step) for step in of(list, part))
        given = called.target, called.args, called.kwargs
        return Start(self.unit(unit), text(name), *given, steps, _place(place))

    def _weight(self, data: Json) -> Weight:
        shape, dtype, requires_grad, persistent, start, place = of(list, data)
        sizes = self.arguments(shape)
        if not all(type(size) is int or isinstance(size, Expression) for size in sizes):
            raise GraphError(f"{sizes} is no shape.")
        flags = of(bool, requires_grad), of(bool, persistent)
        return Weight(sizes, text(dtype), *flags, self.argument(start), _place(place))

    # Bodies

    def _body(self, data: Mapping[str, Json]) -> Function:
        parameters = [
            Parameter(text(name), self._default(default), text(annotation))
            for name, default, annotation in of(list, data["parameters"])
        ]
        function = Function(text(data["name"]), parameters)
        values: list[Value] = []
        for value, written in zip(function.inputs, data["block"]["inputs"], strict=True):
            values.append(_described(value, written))
        self._nodes(function.block, data["block"]["nodes"], values)
        return function

    def _default(self, data: Json) -> tuple[Any, ...]:
        if len(of(list, data)) > 1:
            raise GraphError("A parameter has several defaults.")
        return self.arguments(data)

    def _nodes(self, block: Block, nodes: Json, values: list[Value]) -> None:
        for op, target, args, kwargs, blocks, outputs, line in of(list, nodes):
            positional = [self.argument(argument, values) for argument in of(list, args)]
            named = {text(n): self.argument(a, values) for n, a in of(dict, kwargs).items()}
            if op == "output":
                block.end.args = positional
                continue
            node = Node(block, _op(op), text(target), positional, named, text(line))
            block.nodes.insert(-1, node)
            for written in of(list, blocks):
                inner = node.add_block()
                values += [_described(inner.add_input(), v) for v in written["inputs"]]
                self._nodes(inner, written["nodes"], values)
            values += [_described(node.add_output(), v) for v in of(list, outputs)]

    # Arguments

    def arguments(self, data: Json) -> tuple[Any, ...]:
        return tuple(self.argument(item) for item in of(list, data))

    def argument(self, data: Json, values: list[Value] | None = None) -> Any:
        if isinstance(data, list):
            raise GraphError("A list stands as it is where its kind should be said.")
        if not isinstance(data, dict):
            return data
        ((kind, content),) = data.items()
        if kind == "value":
            if values is None:
                raise GraphError("A value stands outside of a function.")
            return nth(values, content)
        if kind in _NESTED:
            return _NESTED[kind](self.argument(item, values) for item in of(list, content))
        if kind == "dict":
            pairs = of(list, content)
            return {self.argument(k, values): self.argument(v, values) for k, v in pairs}
        return _READERS[kind](self, content)

    def _expression(self, place: Json) -> Variable | Computed:
        if place not in self._read:
            written = nth(self._expressions, place)
            self._read[place] = self._make(of(list, written))
        return self._read[place]

    def _make(self, data: list[Json]) -> Variable | Computed:
        if isinstance(data[0], dict):
            choice, start, options = self.arguments([*data[:2], {"tuple": data[2]}])
            return _variable(choice, start, options)
        target, args = data
        if not computes(target):
            raise GraphError(f"An expression cannot compute with {target!r}.")
        return Computed(locate(target), self.arguments(args))


Kind = TypeVar("Kind")


def of(kind: type[Kind], data: Any) -> Kind:
    """A thing that has to be of a kind. Raises GraphError for one that is not."""
    if not isinstance(data, kind):
        raise GraphError(f"{data!r} stands where a {kind.__name__.lower()} should be.")
    return data


def text(data: Json) -> str:
    """A thing that has to be a text."""
    return of(str, data)


def nth(table: Sequence[Kind], place: Json) -> Kind:
    """What is at a place of a table."""
    if type(place) is not int or not 0 <= place < len(table):
        raise GraphError(f"{place!r} is no place in a table of {len(table)}.")
    return table[place]


def maybe(read: Callable[[Json], Kind], data: Json) -> Kind | None:
    """What is read, or None for nothing."""
    return None if data is None else read(data)


def _op(data: Json) -> Op:
    if data not in get_args(Op):
        raise GraphError(f"There is no operation {data!r}.")
    op: Op = data
    return op


def _grade(data: Json) -> Grade:
    if data not in get_args(Grade):
        raise GraphError(f"There is no grade {data!r} of units.")
    grade: Grade = data
    return grade


def _variable(choice: Choice, start: Any, options: tuple[Any, ...]) -> Variable:
    """A variable whose value in the default model is `start`."""
    if not isinstance(choice, Choice):
        raise GraphError(f"{choice!r} stands where a choice should be.")
    if not isinstance(choice, Categorical):
        return Variable(choice, start, options)
    likeness = [(type(option), option) for option in options]
    return Variable(choice, choice.candidates[likeness.index((type(start), start))], options)


def _place(data: Json) -> Place | None:
    """When something is done in a constructor."""
    if data is None:
        return None
    children, number = of(list, data)
    return of(int, children), of(int, number)


def _described(value: Value, written: Json) -> Value:
    name, *spec = of(list, written)
    value.name = text(name)
    if spec:
        shape, dtype = spec
        value.spec = Spec(tuple(of(int, size) for size in shape), text(dtype))
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
    "ref": lambda reader, target: Ref(text(target)),
    "call": Reader._call,
    "stored": lambda reader, name: Stored(text(name)),
    "unit": Reader.unit,
    "weight": Reader._weight,
    "expression": Reader._expression,
    "choice": lambda reader, data: _read_choice(data),
}
