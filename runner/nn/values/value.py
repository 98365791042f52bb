"""Choices of plain values: ValueChoice (from a list), IntChoice and FloatChoice (from a range)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from runner.nn.values.arguments import check_flag, listed, real, whole
from runner.nn.values.build import Build, current
from runner.nn.values.expression import Expression as Expression
from runner.nn.values.expression import Variable, compute
from runner.nn.values.primitive import NoClass, primitive
from runner.python_operators import BINARY, OF_ONE
from runner.space.choice import Categorical, Numeric, one_prior, to_json, weights_of


@final
class _Int(int):
    def __call__(self) -> int:
        return int(self)


@final
class _Float(float):
    def __call__(self) -> float:
        return float(self)


@final
class _Str(str):
    def __call__(self) -> str:
        return str(self)


@final
class _Tuple(tuple[Any, ...]):
    def __call__(self) -> tuple[Any, ...]:
        return tuple(self)


@final
class _List(list[Any]):
    def __call__(self) -> list[Any]:
        return list(self)


@final
class _Dict(dict[str, Any]):
    def __call__(self) -> dict[str, Any]:
        return dict(self)


_CALLABLE: dict[type, Callable[[Any], Any]] = {
    int: _Int, float: _Float, str: _Str, tuple: _Tuple, list: _List, dict: _Dict
}  # fmt: skip


def decided(value: Any) -> Any:
    """Returns an equal value that is also callable: a call returns the plain object.

    A model that calls its choice in `forward` (`F.dropout(x, self.p())`), as it must for symbolic
    choices, therefore runs unchanged once the choice is decided. Results of arithmetic, and items,
    are callable, too. True, False and None, whose types cannot be subclassed, are returned as is.
    """
    return _CALLABLE.get(type(value), lambda same: same)(value)


def is_decided(value: Any) -> bool:
    """Returns whether a value is a callable result of a choice, as made by `decided`."""
    return type(value) in _CALLABLE.values()


def _answering(method: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *others: decided(method(self, *others))


def _install() -> None:
    stems = [found.stem for found in BINARY]
    names = [f"__{name}__" for name in (*stems, *(f"r{s}" for s in stems), "round", "getitem")]
    for kind, likeness in _CALLABLE.items():
        for name in (*names, *OF_ONE):
            if (method := getattr(kind, name, None)) is not None:
                setattr(likeness, name, _answering(method))


_install()


def _number(build: Build, choice: Numeric) -> Any:
    answer = build.ask(choice)
    return Variable(choice, answer) if build.symbolic else decided(answer)


@final
class _ValueChoiceFunction(NoClass):
    """The type of ValueChoice: `ValueChoice(candidates, label=...)` returns one of them."""

    __name__ = "ValueChoice"

    def __call__(
        self,
        candidates: Iterable[Any],
        label: str | None = None,
        prior: Sequence[float] | None = None,
        *,
        weights: Sequence[float] | None = None,
    ) -> Any:
        """Returns one of `candidates`, which are JSON values or tuples of them.

        `prior` are weights of the candidates, with which random draws pick them; `weights` is
        another word for it. The value has the attributes `candidates` and `label`, unless it is
        True, False or None.

        A symbolic build returns an Expression, which supports operators, items and the functions
        below. To use a value in `forward`, call it: `self.p()`. True, False and None are not
        callable, so do not call a choice that has them as candidates. Raises SpaceError if there
        are no candidates, if one occurs twice, if one is no JSON value, or if the prior does not
        fit.
        """
        build = current()
        name = build.label(label)
        options = listed(candidates, f"ValueChoice {name!r} has the candidates")
        values = tuple(to_json(option) for option in options)
        given = one_prior(prior, weights, f"ValueChoice {name!r}")
        choice = Categorical(name, values, prior=weights_of(given))
        answer = build.ask(choice)
        if build.symbolic:
            return Variable(choice, answer, options)
        made = decided(options[choice.index(answer)])
        if is_decided(made):
            made.candidates, made.label = options, choice.label
        return made

    @staticmethod
    def max(*values: Any) -> Any:
        """Returns the largest of several choices or numbers."""
        return _computed(max, *values)

    @staticmethod
    def min(*values: Any) -> Any:
        """Returns the smallest of several choices or numbers."""
        return _computed(min, *values)

    @staticmethod
    def condition(test: Any, true: Any, false: Any) -> Any:
        """Returns `true if test else false`."""
        return _computed(condition, test, true, false)

    @staticmethod
    def to_int(value: Any) -> Any:
        """Returns `int(value)`."""
        return _computed(int, value)

    @staticmethod
    def to_float(value: Any) -> Any:
        """Returns `float(value)`."""
        return _computed(float, value)


def _computed(function: Callable[..., Any], *args: Any) -> Any:
    """Returns the result of a function on choices, as an operator on them would."""
    return decided(compute(function, *args))


def condition(test: Any, true: Any, false: Any) -> Any:
    """Returns `true if test else false`."""
    return true if test else false


ValueChoice = _ValueChoiceFunction()


@primitive()
def IntChoice(
    low: int, high: int, *, step: int = 1, log: bool = False, label: str | None = None
) -> Any:
    """Returns an integer from `low` to `high`, inclusive, in steps of `step`.

    With `log`, which requires step 1 and low > 0, it is drawn on a log scale. The default model
    takes `low`. A symbolic build returns an Expression. Raises SpaceError for an invalid range.
    """
    build = current()
    name = build.label(label)
    given = {"low": low, "high": high, "step": step}
    least, most, by = (whole(end, f"IntChoice {name!r} has {word}") for word, end in given.items())
    check_flag(log, f"IntChoice {name!r} has log")
    return _number(build, Numeric(name, least, most, step=by, log=log))


@primitive()
def FloatChoice(low: float, high: float, *, log: bool = False, label: str | None = None) -> Any:
    """Returns a float from `low` to `high`, inclusive, drawn on a log scale if `log`.

    The default model takes `low`. A symbolic build returns an Expression. Raises SpaceError if the
    range is empty or not finite, or if `log` is set and `low` is not positive.
    """
    build = current()
    name = build.label(label)
    least = real(low, f"FloatChoice {name!r} has low")
    most = real(high, f"FloatChoice {name!r} has high")
    check_flag(log, f"FloatChoice {name!r} has log")
    return _number(build, Numeric(name, least, most, log=log))
