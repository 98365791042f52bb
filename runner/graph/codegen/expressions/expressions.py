"""Expressions of generated source: constants, arguments, calls, operators, paths."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from runner.errors import GraphError
from runner.graph.codegen.expressions import line_breaking as layout
from runner.graph.codegen.expressions.format_strings import f_string
from runner.graph.codegen.expressions.imports import Imports, as_name, is_name
from runner.graph.codegen.expressions.line_breaking import Code
from runner.graph.ir.argument import Argument, Call, Ref, Stored, text_literal
from runner.graph.ir.node import SPREAD, Value
from runner.python_operators import INFIX, PREFIX, REFLECTED, Precedence


def _float(number: float) -> Code:
    if not math.isfinite(number):
        return layout.call("float", [Code(f'"{number}"')])
    return Code(repr(number), Precedence.UNARY if repr(number)[0] == "-" else Precedence.NUMBER)


def _int(number: int) -> Code:
    return Code(str(int(number)), Precedence.UNARY if number < 0 else Precedence.NUMBER)


def _complex(number: complex) -> Code:
    return layout.call("complex", [_float(number.real), _float(number.imag)])


# Numbers, strings and tuples may be of callable subclasses: see `runner.nn.values.value`.
_PLAIN: tuple[tuple[type, Callable[[Any], Argument]], ...] = (
    (int, int), (float, float), (str, str), (tuple, tuple),
)  # fmt: skip


@final
class Writer:
    """A printer of arguments as expressions.

    `value` prints all other leaves: the values of a function, or the units among the arguments of
    a constructor.
    """

    def __init__(self, imports: Imports, value: Callable[[Any], Code]) -> None:
        self.imports = imports
        self._value = value
        self._writers: dict[type, Callable[[Any], Code]] = {
            Value: value,
            type(None): lambda _: Code("None"),
            bool: lambda truth: Code(str(truth)),
            int: _int,
            float: _float,
            complex: _complex,
            str: lambda text: Code(text_literal(text)),
            type(...): lambda _: Code("..."),
            tuple: self._tuple,
            list: lambda items: layout.bracket("[", self.all(items), "]"),
            dict: self._dict,
            slice: lambda part: layout.call("slice", self.all((part.start, part.stop, part.step))),
            Ref: lambda ref: Code(self.imports.name(ref.target)),
            Call: lambda made: self.call(made.target, made.args, made.kwargs),
            Stored: lambda stored: Code(f"CONSTANTS[{text_literal(stored.name)}]"),
        }

    def code(self, argument: Argument) -> Code:
        """Returns an argument as an expression. Raises GraphError if it has none."""
        writer = self._writers.get(type(argument))
        if writer is not None:
            return writer(argument)
        for kind, plain in _PLAIN:
            if isinstance(argument, kind):
                return self.code(plain(argument))
        return self._value(argument)

    def all(self, arguments: Sequence[Argument]) -> list[Code]:
        """Returns arguments as expressions that commas may separate."""
        return [self.code(argument).at(Precedence.TERNARY) for argument in arguments]

    def _tuple(self, items: tuple[Argument, ...]) -> Code:
        if len(items) == 1:
            return layout.bracket("(", self.all(items), ",)", comma=False)
        return layout.bracket("(", self.all(items), ")")

    def _dict(self, items: Mapping[Argument, Argument]) -> Code:
        return self.pairs(self.all([*items]), self.all([*items.values()]))

    @staticmethod
    def pairs(keys: Sequence[Code], values: Sequence[Code]) -> Code:
        """Returns `{key: value, ...}`."""
        both = zip(keys, values, strict=True)
        return layout.bracket("{", [v.around(f"{k.text}: ", "", 0) for k, v in both], "}")

    def arguments(self, args: Sequence[Argument], kwargs: Mapping[str, Argument]) -> list[Code]:
        """Returns the arguments of a call; keywords that are not identifiers come from a dict."""
        if not kwargs:
            return self.all(args)
        plain = [name for name in kwargs if is_name(name)]
        named = [layout.keyword(name, self.code(kwargs[name])) for name in plain]
        odd = {name: kwargs[name] for name in kwargs if name not in plain and name not in SPREAD}
        if odd:
            named.append(self._dict(odd).around("**", "", Precedence.TUPLE))
        first, last = (
            [self.code(kwargs[sign]).at(Precedence.UNARY).around(sign, "", Precedence.TUPLE)]
            if sign in kwargs else []
            for sign in SPREAD
        )  # fmt: skip
        return [*self.all(args), *first, *named, *last]

    def call(self, target: str, args: Sequence[Argument], kwargs: Mapping[str, Argument]) -> Code:
        """Returns a call of "module:qualname" or ".method"; operators in the syntax of Python."""
        if target[:1] == ".":
            return self.method(target[1:], args, kwargs)
        module, _, name = target.partition(":")
        if module == "operator" and not kwargs:
            written = self._operator(name, args)
            if written is not None:
                return written
        if target == "builtins:getattr" and len(args) == 2 and not kwargs:
            field = args[1]
            if type(field) is str and is_name(field):
                return layout.attribute(self.code(args[0]), field)
        return layout.call(self.imports.name(target), self.arguments(args, kwargs))

    def method(self, name: str, args: Sequence[Argument], kwargs: Mapping[str, Argument]) -> Code:
        """Returns a call of a method of the first argument."""
        if name in REFLECTED and len(args) == 2 and not kwargs:
            found = REFLECTED[name]
            left, right = self.code(args[1]), self.code(args[0])
            return layout.infix(left, found.sign, right, found.precedence)
        if not is_name(name) or not args:
            raise GraphError(f"{name!r} cannot be called as a method with {len(args)} arguments.")
        receiver, given = self.code(args[0]), self.arguments(args[1:], kwargs)
        if name == "format" and type(args[0]) is str and not kwargs:
            written = f_string(args[0], given)
            if written is not None:
                return written
        if name == "__call__":
            return layout.call(receiver.at(Precedence.ATOM).text, given)
        return layout.method(receiver, name, given)

    def _operator(self, name: str, args: Sequence[Argument]) -> Code | None:
        if len(args) == 2 and name in INFIX:
            found = INFIX[name]
            left, right = map(self.code, args)
            return layout.infix(left, found.sign, right, found.precedence)
        if len(args) == 1 and name in PREFIX:
            found = PREFIX[name]
            return layout.prefix(found.sign, self.code(args[0]), found.precedence)
        if len(args) == 2 and name == "contains":
            item, container = self.code(args[1]), self.code(args[0])
            return layout.infix(item, "in", container, Precedence.COMPARE)
        if len(args) == 2 and name == "getitem":
            return self.item(args[0], args[1])
        return None

    def item(self, receiver: Argument, index: Argument) -> Code:
        """Returns `receiver[index]`."""
        return layout.subscript(self.code(receiver), self.index(index))

    def index(self, index: Argument) -> Code:
        """Returns an index as written between the brackets of a subscript."""
        if type(index) is slice:
            return self._slice(index)
        if type(index) is tuple and index:
            parts = [
                self._slice(part) if type(part) is slice else self.code(part).at(Precedence.TERNARY)
                for part in index
            ]
            return layout.tuple_of(parts)
        return self.code(index)

    def _slice(self, part: slice) -> Code:
        ends = [
            "" if end is None else self.code(end).at(Precedence.TERNARY).text
            for end in (part.start, part.stop)
        ]
        step = "" if part.step is None else f":{self.code(part.step).at(Precedence.TERNARY).text}"
        return Code(f"{ends[0]}:{ends[1]}{step}")


def negation(condition: Code, *, plain: bool = False) -> Code:
    """Returns `not condition`; if `plain`, removes the `not` of a condition that has one."""
    if condition.level == Precedence.NOT and condition.text.startswith("not ") and plain:
        return Code(condition.text[4:], Precedence.NOT)
    return layout.prefix("not ", condition, Precedence.NOT)


def member(owner: str, name: str) -> str:
    """Returns `owner.name`, or a call of getattr if the name is no valid one."""
    return f"{owner}.{name}" if is_name(name) else f"getattr({owner}, {text_literal(name)})"


def assignment(owner: str, name: str, value: Code) -> tuple[str, Code]:
    """Returns the text before, and the expression, of a statement that sets any attribute."""
    if is_name(name):
        return f"{owner}.{name} = ", value
    return "", layout.call("setattr", [Code(owner), Code(text_literal(name)), value])


def method_name(name: str) -> str:
    """Returns the name of a function of a unit in the source."""
    return as_name(name)
