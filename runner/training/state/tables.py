"""Dicts, lists and sets that trials share, such as a table of a library or a user's settings."""

from collections.abc import Collection, Iterable, Iterator
from types import FunctionType, SimpleNamespace
from typing import Any, final

from runner.training.state.watched import MISSING, ModuleOwner, is_a, owner_of

MOST = 1000  # entries of a user's table; longer ones are data
FEW = 100  # entries of a library's table; longer ones are facts that nobody changes, or records
DEPTH = 3  # of containers within a user's containers that are looked at
KINDS = (dict, list, set)
Shared = dict[Any, Any] | list[Any] | set[Any]


@final
class SharedTable:
    """A container and what it held."""

    def __init__(self, held: Shared, name: str, owner: ModuleOwner) -> None:
        self.name = name
        is_cache = "cache" in name.rpartition(".")[2].lower()
        self._may_grow = is_cache and owner is ModuleOwner.LIBRARY
        self._held = held
        self._owner = owner
        self.keep()

    def keep(self) -> None:
        self._before = self._copy()

    def views(self) -> Iterator[Iterable[Any]]:
        """Yields what tells whether it has changed."""
        yield self._held
        if isinstance(self._held, dict):
            yield dict.values(self._held)

    def put_back(self, imports: Collection[ModuleOwner]) -> Iterator[str]:
        """Restores what was changed, and yields the name. The import of a module of one of some
        owners may have added entries."""
        now = self._copy()
        right = self._right(now, self._owner in imports)
        if _is_same(now, right):
            return
        if isinstance(self._held, dict):
            dict.clear(self._held)
            dict.update(self._held, right)
        elif isinstance(self._held, list):
            list.__setitem__(self._held, slice(None), right)
        else:
            set.clear(self._held)
            set.update(self._held, right)
        yield self.name

    def _copy(self) -> Any:
        kind = next(kind for kind in KINDS if isinstance(self._held, kind))
        return kind(self._held)

    def _right(self, now: Any, has_imported: bool) -> Any:
        """Returns what the container is to hold."""
        before: Any = self._before
        if isinstance(now, dict):
            kept = {key: now.get(key, MISSING) if self._may(value, now.get(key, MISSING)) else value
                    for key, value in before.items()}  # fmt: skip
            added = {key: value for key, value in now.items() if key not in before
                     if has_imported or self._may_grow or self._may(MISSING, value)}  # fmt: skip
            return {k: value for k, value in (kept | added).items() if value is not MISSING}
        if self._owner is ModuleOwner.USER:
            return before
        if isinstance(now, list):
            is_extended = _is_same(now[: len(before)], before)
            is_state = any(self._may(value, MISSING) for value in before)
            return now if is_extended or is_state else before
        return now | {value for value in before if not self._may(value, MISSING)}

    def _may(self, before: object, now: object) -> bool:
        return self._owner.allows(before, now)


def _is_same(one: Any, other: Any) -> bool:
    """Returns whether two containers of a kind hold the same objects."""
    if len(one) != len(other):
        return False
    if isinstance(one, dict):
        return all(other.get(key, MISSING) is value for key, value in one.items())
    if isinstance(one, list):
        return all(a is b for a, b in zip(one, other, strict=True))
    return all(value in other for value in one)


def tables(
    value: object, name: str, owner: ModuleOwner, depth: int = DEPTH
) -> Iterator[SharedTable]:
    """Yields the containers that a value is or, if a user made it, that it has inside."""
    is_user = owner is ModuleOwner.USER
    held = _shared(value, is_user)
    if held is None or len(held) > (MOST if is_user else FEW) or not depth:
        return
    if is_user or any(not owner.allows(one, MISSING) for one in _values(held)):
        yield SharedTable(held, name, owner)
    if is_user:
        for inner in (*_values(held), *_defaults(value)):
            yield from tables(inner, name, owner, depth - 1)


def _shared(value: Any, is_user: bool) -> Shared | None:
    """Returns a container, or the attributes of a user's function or object; None without."""
    if is_a(value, KINDS):
        return value  # type: ignore[no-any-return]
    if not is_user or is_a(value, type):
        return None
    maker = value if is_a(value, FunctionType) else type(value)
    is_open = maker is SimpleNamespace or owner_of(str(maker.__module__)) is ModuleOwner.USER
    attributes = getattr(value, "__dict__", None) if is_open else None
    return attributes if isinstance(attributes, dict) else None


def _defaults(value: object) -> tuple[Any, ...]:
    if not isinstance(value, FunctionType):
        return ()
    return (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())


def _values(held: Shared) -> list[Any]:
    return [*dict.values(held)] if isinstance(held, dict) else [*held]
