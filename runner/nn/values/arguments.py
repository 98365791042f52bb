"""Checks of what a space passes to the primitives: whole numbers, numbers, flags, candidates."""

import operator
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from runner.errors import SpaceError, shown
from runner.nn.values.expression import Expression


def whole(value: Any, what: str, least: int | None = None) -> int:
    """Returns an argument as an int. Raises SpaceError unless it is a whole number, of at least
    `least`; SymbolicError for the value of a symbolic choice. `what` names it: "Cell 'c' has
    num_nodes"."""
    rule = "a whole number" if least is None else f"a whole number, at least {least}"
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        raise SpaceError(f"{what} {shown(value)}; it must be {rule}.")
    return number


def real(value: Any, what: str) -> float:
    """Returns an argument as a float. Raises SpaceError unless it is a number; SymbolicError for
    the value of a symbolic choice."""
    if isinstance(value, Expression):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpaceError(f"{what} {shown(value)}; it must be a number.")
    try:
        return float(value)
    except OverflowError:
        raise SpaceError(f"{what} {shown(value)}; that is too large.") from None


def check_flag(value: Any, what: str) -> None:
    """Raises SpaceError unless an argument is True or False; SymbolicError for the value of a
    symbolic choice."""
    if isinstance(value, Expression):
        bool(value)
    elif not isinstance(value, bool):
        raise SpaceError(f"{what} {shown(value)}; it must be True or False.")


def listed(given: Any, what: str) -> list[Any]:
    """Returns candidates as a list. Raises SpaceError for what is no list: a text, whose letters
    would be taken, a mapping, or a set, whose order differs from process to process."""
    if isinstance(given, Expression):
        return [*given]
    if isinstance(given, str | bytes | Mapping | set | frozenset) or not isinstance(
        given, Iterable
    ):
        raise SpaceError(f"{what} {shown(given)}; give a list.")
    return [*given]


def check_one_of(value: Any, what: str, *words: str) -> None:
    """Raises SpaceError unless an argument is one of some words; SymbolicError for the value of a
    symbolic choice."""
    if isinstance(value, Expression):
        str(value)
    if not isinstance(value, str) or value not in words:
        raise SpaceError(
            f"{what} {shown(value)}; it must be {', '.join(words[:-1])} or {words[-1]}."
        )


def titled(primitive: str, label: object) -> str:
    """Returns what an error calls a primitive: by its label, if it was given one."""
    if isinstance(label, str) and label:
        return f"{primitive} {shown(label)}"
    return f"{'An' if primitive[0] in 'AEIOU' else 'A'} {primitive}"
