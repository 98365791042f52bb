"""Choices of plain values: a candidate from a list, or a number from a range."""

from collections.abc import Callable, Iterable
from typing import Any, final

from runner.choice import Categorical, Numeric, to_json
from runner.errors import SpaceError
from runner.nn.build import Build, current
from runner.nn.expression import Expression as Expression
from runner.nn.expression import Variable, compute


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
    __slots__ = ()

    def __call__(self) -> str:
        return str(self)


@final
class _Tuple(tuple[Any, ...]):
    __slots__ = ()

    def __call__(self) -> tuple[Any, ...]:
        return tuple(self)


@final
class _List(list[Any]):
    __slots__ = ()

    def __call__(self) -> list[Any]:
        return list(self)


@final
class _Dict(dict[str, Any]):
    __slots__ = ()

    def __call__(self) -> dict[str, Any]:
        return dict(self)


_CALLABLE: dict[type, Callable[[Any], Any]] = {
    int: _Int, float: _Float, str: _Str, tuple: _Tuple, list: _List, dict: _Dict
}  # fmt: skip


def _plain(value: Any) -> Any:
    """The value, equal to its candidate; all but True, False and None, which Python allows no
    likeness of, can be called as well, and give themselves, as a plain object.

    A model that calls its choice in `forward` (`F.dropout(x, self.p())`), as it must where the
    choice is still open, so runs unchanged where it is decided.
    """
    return _CALLABLE.get(type(value), lambda same: same)(value)


def _number(build: Build, choice: Numeric) -> Any:
    answer = build.ask(choice)
    return Variable(choice, answer) if build.symbolic else _plain(answer)


@final
class _ValueChoice:
    """`ValueChoice(candidates, label=...)` gives one of the candidates, a plain value."""

    def __call__(self, candidates: Iterable[Any], *, label: str | None = None) -> Any:
        """One of `candidates`, which are JSON values or tuples of them.

        It can be called, which gives it again: a model that uses it in `forward` must do so. True,
        False and None cannot, so do not call a choice that has them among its candidates.
        """
        build = current()
        options = list(candidates)
        choice = Categorical(build.label(label), tuple(to_json(option) for option in options))
        answer = build.ask(choice)
        if build.symbolic:
            return Variable(choice, answer, options)
        return _plain(options[choice.index(answer)])

    @staticmethod
    def max(*values: Any) -> Any:
        """The largest of several choices or numbers."""
        return compute(max, *values)

    @staticmethod
    def min(*values: Any) -> Any:
        """The smallest of several choices or numbers."""
        return compute(min, *values)

    @staticmethod
    def condition(test: Any, true: Any, false: Any) -> Any:
        """`true if test else false`."""
        return compute(condition, test, true, false)

    @staticmethod
    def to_int(value: Any) -> Any:
        """`int(value)`."""
        return compute(int, value)

    @staticmethod
    def to_float(value: Any) -> Any:
        """`float(value)`."""
        return compute(float, value)


def condition(test: Any, true: Any, false: Any) -> Any:
    """`true if test else false`."""
    return true if test else false


ValueChoice = _ValueChoice()


def IntChoice(
    low: int, high: int, *, step: int = 1, log: bool = False, label: str | None = None
) -> Any:
    """A whole number from `low` to `high`, both included, in steps of `step`."""
    build = current()
    name = build.label(label)
    for end in (low, high, step):
        if isinstance(end, bool) or not isinstance(end, int):
            raise SpaceError(f"Choice '{name}' is an IntChoice with {end!r}; give whole numbers.")
    return _number(build, Numeric(name, low, high, step=step, log=log))


def FloatChoice(low: float, high: float, *, log: bool = False, label: str | None = None) -> Any:
    """A number from `low` to `high`, drawn on a log scale if `log`."""
    build = current()
    return _number(build, Numeric(build.label(label), float(low), float(high), log=log))
