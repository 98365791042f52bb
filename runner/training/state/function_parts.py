"""The code and the defaults of functions, which a trial may have exchanged in place."""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from types import FunctionType
from typing import Any, final

PARTS = ("__code__", "__defaults__", "__kwdefaults__")


@final
class FunctionParts:
    """The parts of functions, and how they were."""

    def __init__(self, functions: Sequence[FunctionType]) -> None:
        # Where all calls give an argument, its default means nothing.
        with_defaults = [f for f in functions if f.__defaults__]
        with_keywords = [f for f in functions if f.__kwdefaults__]
        every = zip(PARTS, (functions, with_defaults, with_keywords), strict=True)
        self._read = [(found, attrgetter(part)) for part, found in every]
        codes, defaults, keywords = self._now()
        self._before = [codes, defaults, [{**found} for found in keywords]]  # edited in place

    def _now(self) -> list[list[Any]]:
        return [[*map(read, functions)] for functions, read in self._read]

    def is_unchanged(self) -> bool:
        """Returns whether all parts are the same; fast, since that is how most trials end."""
        try:
            return self._now() == self._before
        except Exception:  # a default that refuses to be compared
            return False

    def put_back(self) -> Iterator[str]:
        """Restores what was exchanged, and yields the functions' names."""
        for (functions, _), name, before in zip(self._read, PARTS, self._before, strict=True):
            for function, part in zip(functions, before, strict=True):
                if not _is_same_part(getattr(function, name), part):
                    setattr(function, name, {**part} if isinstance(part, dict) else part)
                    yield f"{function.__module__}.{function.__qualname__}"


def _is_same_part(now: Any, before: Any) -> bool:
    if isinstance(before, dict) and isinstance(now, dict):
        return now.keys() == before.keys() and all(now[name] is before[name] for name in before)
    return now is before


def functions(values: Iterable[Any]) -> Iterator[FunctionType]:
    """Yields the functions among values, also those within others, such as in a property or below
    a decorator."""
    for value in values:
        inner = [value]
        if isinstance(value, staticmethod | classmethod):
            inner = [value.__func__]
        elif isinstance(value, property):
            inner = [value.fget, value.fset, value.fdel]
        for one in inner:
            while isinstance(one, FunctionType):
                yield one
                one = one.__dict__.get("__wrapped__")
