"""The tensors that loaded data holds, and whether a trial changed them."""

from collections.abc import Iterator, Sequence
from types import FunctionType, ModuleType
from typing import Any, final

from torch import Tensor

MOST = 10_000  # objects that are looked at; what is behind them is not
PLAIN = (str, bytes, int, float, type, Tensor, ModuleType, FunctionType)  # they lead nowhere
Holder = dict[Any, Any] | list[Any] | tuple[Any, ...]


@final
class HeldTensors:
    """The tensors that objects hold, at any depth, and how they were.

    Edits in place are noticed by the tensors' own counts of them. An edit of `tensor.data`, of a
    NumPy array that shares its memory, or of an inference tensor is not counted by torch, and
    therefore not noticed.
    """

    def __init__(self, *roots: object) -> None:
        """Looks at all that the roots hold; nothing else of it is ever compared."""
        self._attributes: list[tuple[dict[str, Any], type, frozenset[str]]] = []
        # The places of tensors, and of what leads to them.
        self._places: list[tuple[Holder, Any, object, int]] = []
        leads: set[int] = set()
        for owner, holder, key, value in reversed(self._walk(roots)):
            if isinstance(value, Tensor) or id(value) in leads:
                leads.add(id(owner))
                self._places.append((holder, key, value, _version(value)))

    def _walk(self, roots: Sequence[object]) -> list[tuple[object, Holder, Any, object]]:
        """Returns what an object holds, where, for the objects in the order of their depth."""
        found: list[tuple[object, Holder, Any, object]] = []
        todo = [*roots]
        seen: dict[int, object] = {}
        while todo and len(seen) < MOST:
            one = todo.pop()
            if id(one) in seen or isinstance(one, PLAIN):
                continue
            seen[id(one)] = one
            for holder in _holders(one):
                inner = [(one, holder, key, value) for key, value in _items(holder)]
                found += inner
                todo += [value for *_, value in inner]
            attributes = getattr(one, "__dict__", None)
            if isinstance(attributes, dict):
                self._attributes.append((attributes, type(one), frozenset(attributes)))
        return found

    def are_unchanged(self) -> bool:
        """Returns whether each tensor is the one that was held, with the values it had, and whether
        no method was replaced in an object."""
        return all(
            _get(holder, key) is value and _version(value) == version
            for holder, key, value, version in self._places
        ) and not any(
            hasattr(kind, name) and callable(now[name])
            for now, kind, before in self._attributes
            for name in now.keys() - before
        )


def _holders(one: object) -> Iterator[Holder]:
    """Yields what of an object may contain others: itself, or its attributes."""
    if isinstance(one, dict | list | tuple):
        yield one
    attributes = getattr(one, "__dict__", None)
    if isinstance(attributes, dict):
        yield attributes


def _items(holder: Holder) -> Iterator[tuple[Any, Any]]:
    yield from [*holder.items()] if isinstance(holder, dict) else enumerate([*holder[:MOST]])


def _get(holder: Holder, key: Any) -> object:
    try:
        return holder[key]
    except (LookupError, TypeError):
        return None


def _version(value: object) -> int:
    try:
        return value._version if isinstance(value, Tensor) else 0
    except RuntimeError:  # an inference tensor, whose edits torch does not count
        return 0
