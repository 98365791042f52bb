"""What loaded data, or other objects, hold, and whether a trial changed it."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, final

import numpy
from torch import Tensor

from runner.data.fingerprint import Array, Memory, fingerprint, memory_of

MOST = 10_000  # objects that are looked at; what is behind them is not
CALLED = (FunctionType, BuiltinFunctionType, MethodType)
ARRAYS = (Tensor, numpy.ndarray)
PLAIN = (str, bytes, int, float, type, ModuleType, *CALLED, *ARRAYS)  # they lead nowhere
Holder = dict[Any, Any] | list[Any]


@final
class HeldData:
    """What objects hold at any depth, and how it was: tensors, NumPy arrays, lists and attributes.

    Contents are compared by fingerprints, so that edits through `tensor.data` or through an array
    that shares memory are noticed, too. What was missing, or None, may be filled: caches are.
    """

    def __init__(
        self,
        *roots: object,
        earlier: "HeldData | None" = None,
        is_open: Callable[[object], bool] = lambda one: True,
    ) -> None:
        """Looks at all that the roots hold. What is held as it was in `earlier`, which was found
        unchanged, is not read again. `is_open` is whether to look at the attributes of an object,
        since those of a library's objects may lead anywhere."""
        self.roots = roots
        self._is_open = is_open
        self.has_grown = False  # whether something was filled, as the last comparison found
        self._holders: list[tuple[Holder, Holder]] = []  # with their copies
        self._attributes: list[tuple[dict[str, Any], type, frozenset[str]]] = []
        self._arrays: dict[int, tuple[Array, Memory | None]] = {}
        self._walk(roots)
        known: dict[Memory, tuple[Array, int | None]] = {} if earlier is None else earlier._prints
        self._prints: dict[Memory, tuple[Array, int | None]] = {
            memory: (array, known[memory][1] if memory in known else fingerprint(array))
            for array, memory in self._arrays.values()
            if memory is not None
        }

    def holds(self, *roots: object) -> bool:
        """Returns whether these are the roots that were looked at."""
        return len(roots) == len(self.roots) and all(
            one is other for one, other in zip(roots, self.roots, strict=True)
        )

    def _walk(self, roots: Sequence[object]) -> None:
        todo = deque(roots)  # those that are near come first
        seen: dict[int, object] = {}
        while todo and len(seen) < MOST:
            one = todo.popleft()
            if isinstance(one, ARRAYS):
                self._arrays[id(one)] = (one, memory_of(one))
            if id(one) in seen or isinstance(one, PLAIN):
                continue
            seen[id(one)] = one
            for holder in self._holders_of(one):
                copy = dict(holder) if isinstance(holder, dict) else list(holder)
                if not isinstance(holder, tuple):
                    self._holders.append((holder, copy))
                todo += copy.values() if isinstance(copy, dict) else copy[:MOST]

    def _holders_of(self, one: object) -> Iterator[Any]:
        """Yields what of an object may contain others: itself, or its attributes."""
        if isinstance(one, dict | list | tuple):
            yield one
        attributes = getattr(one, "__dict__", None)
        if isinstance(attributes, dict) and self._is_open(one):
            self._attributes.append((attributes, type(one), frozenset(attributes)))
            yield attributes

    def are_unchanged(self) -> bool:
        """Returns whether all is as it was, and no method was replaced in an object."""
        self.has_grown = False
        return (
            not any(self._hides_a_method(*one) for one in self._attributes)
            and all(self._is_kept(holder, copy) for holder, copy in self._holders)
            and self.contents_are_unchanged()
        )

    def contents_are_unchanged(self) -> bool:
        """Returns whether the tensors and arrays have the values they had, wherever they are."""
        return all(memory_of(array) == memory for array, memory in self._arrays.values()) and all(
            fingerprint(array) == before for array, before in self._prints.values()
        )

    def _hides_a_method(self, now: dict[str, Any], kind: type, before: frozenset[str]) -> bool:
        if len(now) == len(before):
            return False
        self.has_grown = True
        return any(hasattr(kind, name) and callable(now[name]) for name in now.keys() - before)

    def _is_kept(self, holder: Holder, copy: Holder) -> bool:
        if _is_equal(holder, copy):
            return True
        if not isinstance(holder, dict) or not isinstance(copy, dict):
            return False
        self.has_grown = True
        return all(_may_follow(holder.get(key), value) for key, value in copy.items())


def _is_equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # of tensors that were replaced, or of a class that refuses to be compared
        return False


def _may_follow(now: object, before: object) -> bool:
    """Returns whether a value is the former one, or fills what was empty."""
    if now is before or before is None or isinstance(before, Iterator):
        return True
    if isinstance(now, ARRAYS) and isinstance(before, ARRAYS):  # such as a copy on the GPU
        return type(now) is type(before) and fingerprint(now) == fingerprint(before)
    return isinstance(before, PLAIN) and type(now) is type(before) and _is_equal(now, before)
