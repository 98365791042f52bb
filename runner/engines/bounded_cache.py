"""A bounded cache of computed values."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar, final

V = TypeVar("V")


@final
class BoundedCache(Generic[V]):
    """A cache of the last `size` values by key; evicts the oldest first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str, make: Callable[[], V]) -> V:
        """Returns the value of a key, computing it unless it is cached."""
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return self._values[key]
