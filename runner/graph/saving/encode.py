"""Writes what a graph is made of as plain JSON; see `codec.py` for the form."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from runner.choice import Categorical, Choice, Numeric, Subset
from runner.errors import GraphError
from runner.graph.node import Block, Function, Node, Value
from runner.graph.signature import locate
from runner.graph.unit import Call, Ref, Start, Stored, Unit, Weight
from runner.nn.expression import Computed, Variable

Json = Any


@final
class Writer:
    """Tables of what may be shared: units, bodies of functions, expressions."""

    def __init__(self) -> None:
        self.units: list[Json] = []
        self.bodies: list[Json] = []
        self.expressions: list[Json] = []
        self._places: dict[int, int] = {}
        self._kept: list[object] = []  # so that no two objects have one id

    def _place(self, thing: object, table: list[Json], write: Callable[[], Json]) -> int:
        """The place of a thing in its table, written there the first time."""
        if id(thing) not in self._places:
            self._kept.append(thing)
            self._places[id(thing)] = place = len(table)
            table.append(None)
            table[place] = write()
        return self._places[id(thing)]

    def unit(self, unit: Unit) -> int:
        return self._place(unit, self.units, lambda: self._unit(unit))

    def function(self, function: Function) -> int:
        return self._place(function, self.bodies, lambda: self._body(function))

    def _unit(self, unit: Unit) -> Json:
        with _inside(repr(unit)):
            return {
                "grade": unit.grade,
                "cls": unit.cls.target,
                "call": unit.call and self._named(unit.call),
                "children": {n: c and {"unit": self.unit(c)} for n, c in unit.children.items()},
                "parameters": {n: w and self._weight(w) for n, w in unit.parameters.items()},
                "buffers": {n: w and self._weight(w) for n, w in unit.buffers.items()},
                "attributes": self._table(unit.attributes, "the attribute"),
                "inherits": unit.inherits,
                "facts": self._table(unit.facts, "the fact"),
                "functions": {n: self.function(f) for n, f in unit.functions.items()},
                "edits": [[path, name, self.argument(v)] for path, name, v in unit.edits],
                "starts": [self._start(start) for start in unit.starts],
                "hooked": [self._named(call) for call in unit.hooked],
                "changed": unit.changed,
                "mutated": unit.mutated,
                "origin": unit.origin,
                "inserted": unit.inserted,
            }

    def _table(self, things: Mapping[str, Any], what: str) -> dict[str, Json]:
        written = {}
        for name, thing in things.items():
            with _inside(f"{what} {name!r}"):
                written[name] = self.argument(thing)
        return written

    def _named(self, call: Call | Start) -> Json:
        kwargs = {name: self.argument(a) for name, a in call.kwargs.items()}
        return [call.target, self.arguments(call.args), kwargs]

    def _start(self, start: Start) -> Json:
        part = [self._named(call) for call in start.part]
        return [self.unit(start.unit), start.name, self._named(start), part, _of(start.place)]

    def _weight(self, weight: Weight) -> Json:
        shape, start = self.arguments(weight.shape), self.argument(weight.start)
        return [shape, weight.dtype, weight.requires_grad, weight.persistent, start,
                _of(weight.place)]  # fmt: skip

    # Bodies

    def _body(self, function: Function) -> Json:
        numbers: dict[Value, int] = {}
        parameters = [
            [p.name, self.arguments(p.default), p.annotation] for p in function.parameters
        ]
        with _inside(f"function {function.name!r}"):
            block = self._block(function.block, numbers)
        return {"name": function.name, "parameters": parameters, "block": block}

    def _block(self, block: Block, numbers: dict[Value, int]) -> Json:
        inputs = [_value(value, numbers) for value in block.inputs]
        return {"inputs": inputs, "nodes": [self._node(node, numbers) for node in block.nodes]}

    def _node(self, node: Node, numbers: dict[Value, int]) -> Json:
        with _inside(f"{node} {node.line}".rstrip()):
            args = [self.argument(a, numbers) for a in node.args]
            kwargs = {name: self.argument(a, numbers) for name, a in node.kwargs.items()}
        blocks = [self._block(block, numbers) for block in node.blocks]
        outputs = [_value(value, numbers) for value in node.outputs]
        return [node.op, node.target, args, kwargs, blocks, outputs, node.line]

    # Arguments

    def arguments(self, arguments: tuple[Any, ...]) -> list[Json]:
        return [self.argument(argument) for argument in arguments]

    def argument(self, argument: Any, numbers: Mapping[Value, int] | None = None) -> Json:
        kind = type(argument)
        if argument is None or kind in (bool, int, str):
            return argument
        if kind is float and math.isfinite(argument):
            return argument
        if kind is Value:
            if not numbers or argument not in numbers:
                raise GraphError(f"{argument} is used, but not defined before.")
            return {"value": numbers[argument]}
        if kind is tuple or kind is list:
            return {kind.__name__: [self.argument(item, numbers) for item in argument]}
        if kind is dict:
            items = argument.items()
            return {"dict": [[self.argument(part, numbers) for part in item] for item in items]}
        if kind is slice:
            parts = (argument.start, argument.stop, argument.step)
            return {"slice": [self.argument(part, numbers) for part in parts]}
        if kind in _WRITERS:
            return _WRITERS[kind](self, argument)
        raise GraphError(
            f"{argument!r}, a {kind.__module__}.{kind.__qualname__}, has no JSON form."
        )

    def _expression(self, expression: Variable | Computed) -> Json:
        write = self._variable if isinstance(expression, Variable) else self._computed
        place = self._place(expression, self.expressions, lambda: write(expression))
        return {"expression": place}

    def _variable(self, variable: Any) -> Json:
        return [self.argument(variable.choice), self.argument(variable.start),
                self.arguments(variable.options)]  # fmt: skip

    def _computed(self, computed: Any) -> Json:
        function = computed.function
        module = function.__module__.removeprefix("_operator") or "operator"
        target = f"{module}:{function.__qualname__}"
        if not computes(target) or locate(target) is not function:
            raise GraphError(f"{function!r} in an expression has no JSON form.")
        return [target, self.arguments(computed.args)]


def _value(value: Value, numbers: dict[Value, int]) -> Json:
    numbers[value] = len(numbers)
    spec = value.spec
    return [value.name] if spec is None else [value.name, [*spec.shape], spec.dtype]


@contextmanager
def _inside(where: str) -> Iterator[None]:
    """Say where it was that something could not be written."""
    try:
        yield
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from error


def _choice(choice: Choice) -> Json:
    return [type(choice).__name__, *(_of(getattr(choice, f)) for f in CHOICES[type(choice)])]


def _of(field: Any) -> Json:
    return list(field) if type(field) is tuple else field


CHOICES: Mapping[type[Choice], tuple[str, ...]] = {
    Categorical: ("label", "candidates"),
    Numeric: ("label", "low", "high", "step", "log"),
    Subset: ("label", "n", "chosen"),
}

_WRITERS: Mapping[type, Callable[[Writer, Any], Json]] = {
    float: lambda writer, number: {"float": str(number)},
    complex: lambda writer, number: {"complex": [str(number.real), str(number.imag)]},
    type(...): lambda writer, dots: {"ellipsis": None},
    Ref: lambda writer, ref: {"ref": ref.target},
    Call: lambda writer, call: {"call": writer._named(call)},
    Stored: lambda writer, stored: {"stored": stored.name},
    Unit: lambda writer, unit: {"unit": writer.unit(unit)},
    Weight: lambda writer, weight: {"weight": writer._weight(weight)},
    Variable: Writer._expression,
    Computed: Writer._expression,
    **dict.fromkeys(CHOICES, lambda writer, choice: {"choice": _choice(choice)}),
}


# What expressions may compute with: a file must not name any other function

_BUILTINS = frozenset(["abs", "bool", "divmod", "float", "int", "len", "max", "min", "pow", "round",
                       "str", "sum"])  # fmt: skip


def computes(target: str) -> bool:
    """Whether an expression may compute with a function."""
    module, _, name = target.partition(":")
    if module == "builtins":
        return name in _BUILTINS
    return module in ("operator", "math") or target == "runner.nn.value:condition"
