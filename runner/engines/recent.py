"""A small cache: the values made last, by key."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar, final

V = TypeVar("V")


@final
class Recent(Generic[V]):
    """Keeps the last `size` values that were made; the oldest goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str, make: Callable[[], V]) -> V:
        """Returns the value of a key, made now unless it is kept."""
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return self._values[key]
