"""Expression: a symbolic plain value, computed from choices.

In a symbolic build, a ValueChoice returns a `Variable`; arithmetic with it returns a `Computed`,
which keeps the function and its arguments. Other operations are not supported: where Python needs
a concrete value (`if`, `range`, an index, the shape of a tensor), SymbolicError names the line.
"""

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Never, final

from torch import Tensor

from runner.errors import SymbolicError
from runner.nested import leaves
from runner.nn.values.build import current
from runner.nn.values.frames import is_running, users_line
from runner.python_operators import BINARY, COMPARISONS, OF_ONE, UNARY, Precedence
from runner.space.choice import Categorical, Choice, JsonValue
from runner.space.sample import Chooser

Memo = dict[int, Any]


class Expression(ABC):
    """A symbolic plain value. Immutable, and shared by deep copies."""

    __slots__ = ()

    @property
    def default(self) -> Any:
        """The value in the default model."""
        return self._value(lambda variable: variable.start, {})

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices it depends on, each once, in order of appearance."""
        found: dict[str, Choice] = {}
        for variable in variables_in(self):
            found.setdefault(variable.choice.label, variable.choice)
        return tuple(found.values())

    def resolve(self, ask: Chooser) -> Any:
        """Returns its plain value under the answers of `ask`, which is called once per label."""
        answers: dict[str, JsonValue] = {}

        def answer(variable: "Variable") -> Any:
            label = variable.choice.label
            if label not in answers:
                answers[label] = ask(variable.choice)
            return variable.value(answers[label])

        return self._value(answer, {})

    @abstractmethod
    def same_as(self, other: object) -> bool:
        """Returns whether both are the same computation on the same choices. (`==` returns another
        expression.)"""

    @abstractmethod
    def _value(self, answer: Callable[["Variable"], Any], memo: Memo) -> Any:
        """Returns the value if variables have the values `answer(variable)`; `memo` caches it by
        identity."""

    @abstractmethod
    def _text(self) -> tuple[str, int]:
        """Returns its source text, and the precedence of the outermost operator."""

    def __call__(self) -> Any:
        """Returns itself in a symbolic build, and its default value when the built model runs."""
        return self if current().symbolic else self.default

    def __repr__(self) -> str:
        return self._text()[0]

    def __copy__(self) -> "Expression":
        return self

    def __deepcopy__(self, memo: Memo) -> "Expression":
        return self

    # Operations for which Python needs a concrete value

    def __str__(self) -> str:
        return self.__format__("")

    def __format__(self, spec: str) -> str:
        if current().symbolic:
            self._refuse("text with it", "Keep it out of texts and labels; repr() shows it.")
        return format(self.default, spec)

    def __bool__(self) -> bool:
        return bool(self._known(
            "a decision (`if`, `and`, `or`, `not`, `in`, max, min)",
            "Use nn.ValueChoice.condition(test, a, b), nn.ValueChoice.max and min, `&` and `|`; "
            "between modules, nn.LayerChoice.",
        ))  # fmt: skip

    def __index__(self) -> int:
        return operator.index(self._known(
            "a whole number (range, an index, a shape)",
            "Use nn.Repeat for blocks, and item access on the choice instead of the list.",
        ))  # fmt: skip

    def __int__(self) -> int:
        return int(self._known("int()", "Use nn.ValueChoice.to_int, or `//`."))

    def __float__(self) -> float:
        advice = "Use operators (`x ** 0.5`), or nn.ValueChoice.to_float."
        return float(self._known("a number", advice))

    def __complex__(self) -> complex:
        return complex(self._known("a number", "Use operators."))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._known("a loop or `*`", "Take its items by number: `value[0]`."))

    def __len__(self) -> int:
        return len(self._known("len()", "Take its items by number: `value[0]`, `value[1]`."))

    def __contains__(self, item: object) -> bool:
        advice = "Compare its items: `(value[0] == 3) | (value[1] == 3)`."
        return item in self._known("`in`", advice)

    def __hash__(self) -> int:
        advice = "Use nn.LayerChoice with a dict, or item access on the choice."
        return hash(self._known("a key", advice))

    def _known(self, use: str, advice: str) -> Any:
        """Returns the default value while a built model runs, else raises SymbolicError."""
        if current().symbolic or not is_running():
            self._refuse(use, advice)
        return self.default

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Calls a function of torch with default values. In a symbolic build, raises
        SymbolicError."""
        if current().symbolic:
            for variable in variables_in((*args, kwargs or {})):
                variable._refuse(
                    f"torch's {getattr(function, '__name__', function)}",
                    "Pass it to a torch.nn layer, or to a class with @nn.basic_unit that makes the "
                    "tensor; in forward, call it.",
                )
        kwargs = replace_symbolic(kwargs or {}, lambda symbolic: symbolic.default)
        return function(*replace_symbolic(tuple(args), lambda value: value.default), **kwargs)

    def _refuse(self, use: str, advice: str) -> Never:
        labels = " and ".join(repr(choice.label) for choice in self.choices)
        raise SymbolicError(
            f"{users_line()}: {use} needs the value of `{self!r}`, but the choice of {labels} is "
            f"symbolic here. {advice}"
        )


@final
class Variable(Expression):
    """The symbolic value of a choice; `options` are its candidates as passed, if it lists any."""

    __slots__ = ("choice", "options", "start")

    def __init__(self, choice: Choice, answer: JsonValue, options: Sequence[Any] = ()) -> None:
        self.choice = choice
        self.options = tuple(options)
        self.start = self.value(answer)

    @property
    def candidates(self) -> list[Any]:
        """The candidates as passed, if the choice lists any."""
        return [*self.options]

    @property
    def label(self) -> str:
        return self.choice.label

    def value(self, answer: JsonValue) -> Any:
        """Returns the plain value for an answer in JSON form."""
        if isinstance(self.choice, Categorical):
            return self.options[self.choice.index(answer)]
        return self.choice.check(answer)

    def same_as(self, other: object) -> bool:
        return isinstance(other, Variable) and self.choice == other.choice

    def _value(self, answer: Callable[["Variable"], Any], memo: Memo) -> Any:
        return answer(self)

    def _text(self) -> tuple[str, int]:
        label = self.choice.label
        return label if re.fullmatch(r"[\w/.-]+", label) else repr(label), Precedence.ATOM


@final
class Computed(Expression):
    """The result of a function of expressions and plain values, possibly nested in containers."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Any], args: Sequence[Any]) -> None:
        self.function = function
        self.args = tuple(args)

    def same_as(self, other: object) -> bool:
        return (
            isinstance(other, Computed)
            and self.function is other.function
            and same_arguments(self.args, other.args)
        )

    def _value(self, answer: Callable[[Variable], Any], memo: Memo) -> Any:
        if id(self) not in memo:
            args = [
                arg._value(answer, memo)  # without further calls: expressions may be deep
                if isinstance(arg, Expression)
                else replace_symbolic(arg, lambda inner: inner._value(answer, memo))
                for arg in self.args
            ]
            memo[id(self)] = self.function(*args)
        return memo[id(self)]

    def _text(self) -> tuple[str, int]:
        found = _OPERATORS.get(self.function)
        if found is not None and len(self.args) == 1:
            return f"{found.sign}{_operand(self.args[0], found.precedence)}", found.precedence
        if found is not None:
            left = _operand(self.args[0], found.precedence.of_left)
            right = _operand(self.args[1], found.precedence.of_right)
            return f"{left} {found.sign} {right}", found.precedence
        if self.function is operator.getitem:
            return f"{_operand(self.args[0], Precedence.ATOM)}[{self.args[1]!r}]", Precedence.ATOM
        return f"{self.function.__name__}({', '.join(map(repr, self.args))})", Precedence.ATOM


def _operand(value: object, tightness: int) -> str:
    text, own = value._text() if isinstance(value, Expression) else (repr(value), Precedence.ATOM)
    own = Precedence.UNARY if text.startswith("-") and own == Precedence.ATOM else own
    return text if own >= tightness else f"({text})"


# Expressions inside arguments


def replace_symbolic(value: Any, change: Callable[[Expression], Any]) -> Any:
    """Returns the value with `change(expression)` in place of each expression in it, at any depth
    of containers and slices. Containers without expressions are the same objects."""
    if isinstance(value, Expression):
        return change(value)
    if isinstance(value, tuple) and any(map(is_symbolic, value)):
        items = [replace_symbolic(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list) and any(map(is_symbolic, value)):
        return [replace_symbolic(item, change) for item in value]
    if isinstance(value, dict) and any(map(is_symbolic, value.values())):
        return {name: replace_symbolic(item, change) for name, item in value.items()}
    if isinstance(value, slice) and is_symbolic(value):
        return slice(*replace_symbolic((value.start, value.stop, value.step), change))
    return value


def is_symbolic(value: Any) -> bool:
    """Returns whether a value contains an expression, at any depth of containers and slices."""
    return not _KINDS.isdisjoint(map(type, leaves(value, subclasses=True)))


def variables_in(value: Any) -> Iterator[Variable]:
    """Yields all variables in a value, in order; visits shared subexpressions once."""
    return _variables(value, set())


def _variables(value: Any, seen: set[int]) -> Iterator[Variable]:
    for leaf in leaves(value, subclasses=True):
        if isinstance(leaf, Variable):
            yield leaf
        elif isinstance(leaf, Computed) and id(leaf) not in seen:
            seen.add(id(leaf))
            yield from _variables(leaf.args, seen)


def same_arguments(one: Any, other: Any) -> bool:
    """Returns whether two values, which may contain expressions, have equal types and contents."""
    if one is other:
        return True
    if isinstance(one, Expression):
        return one.same_as(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same_arguments, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_arguments(one[k], other[k]) for k in one)
    return (one == other) is True  # arrays compare elementwise


def compute(function: Callable[..., Any], *args: Any) -> Any:
    """Returns `function(*args)`, or an expression for it if one of the arguments is symbolic."""
    return Computed(function, args) if is_symbolic(args) else function(*args)


# Operators

_OPERATORS = {found.function: found for found in (*BINARY, *COMPARISONS, *UNARY)}
_KINDS = frozenset([Variable, Computed])  # both final
PLAIN = (Expression, slice, bool, int, float, complex, str, tuple, list, dict, type(None))


def _binary(function: Callable[..., Any], *, reflected: bool = False) -> Callable[..., Any]:
    def method(self: Expression, other: Any) -> Any:
        if isinstance(other, Tensor) or not isinstance(other, PLAIN):
            return NotImplemented
        return Computed(function, (other, self) if reflected else (self, other))

    return method


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: Computed(function, (self,))


def _install() -> None:
    for found in (*BINARY, *COMPARISONS):
        setattr(Expression, f"__{found.stem}__", _binary(found.function))
    for found in BINARY:
        setattr(Expression, f"__r{found.stem}__", _binary(found.function, reflected=True))
    for name, function in OF_ONE.items():
        setattr(Expression, name, _unary(function))
    setattr(Expression, "__divmod__", _binary(divmod))  # noqa: B010
    setattr(Expression, "__rdivmod__", _binary(divmod, reflected=True))  # noqa: B010
    setattr(Expression, "__getitem__", _binary(operator.getitem))  # noqa: B010
    setattr(Expression, "__round__", lambda self, *n: Computed(round, (self, *n)))  # noqa: B010


_install()
