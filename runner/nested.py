"""Traversal and mapping of nested containers, like `map_aggregate` of torch.fx.

Containers are tuples, lists, dicts (keys and values) and slices; anything else is a leaf. Objects
of subclasses of containers are leaves, too, unless `subclasses` is set: named tuples and
`torch.return_types` are then traversed, and rebuilt as the same class. A container that contains
itself raises GraphError.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import is_
from typing import Any

from runner.errors import GraphError, shown

LeafPath = tuple[Any, ...]  # per container an index, a key, or 0 to 2 for a part of a slice

_CONTAINERS = frozenset([tuple, list, dict, slice])
_ATOMS = frozenset([str, int, float, bool, type(None)])  # most leaves, told apart fast
_EXTENDED = (tuple, list, dict)  # can be subclassed; isinstance is slower with a union


def leaves(thing: Any, *, subclasses: bool = False) -> list[Any]:
    """Returns all leaves of nested containers in order, each key of a dict before its value.

    Example: `leaves(([1, 2], {"a": slice(3, None)}))` is `[1, 2, "a", 3, None, None]`.
    """
    found: list[Any] = []
    try:
        _collect((thing,), found, subclasses)
    except RecursionError:
        raise _endless(thing) from None
    return found


def _endless(thing: Any) -> GraphError:
    """Returns the error of a container that could not be traversed."""
    ring = _ring(thing)
    if ring is None:
        what = f"The {type(thing).__name__} {shown(thing)} is nested too deeply"
    else:
        what = f"The {type(ring).__name__} {shown(ring)} contains itself"
    return GraphError(
        f"{what}, so that it cannot be written as source; give the model plain values, or run with "
        "engine=py."
    )


def _ring(thing: Any) -> Any:
    """Returns a container that contains itself; None if there is none."""
    todo = [(thing, False)]
    inside: set[int] = set()  # the containers around the next one
    done: set[int] = set()
    while todo:
        one, is_left = todo.pop()
        if is_left:
            inside.discard(id(one))
            done.add(id(one))
        elif id(one) in inside:
            return one
        elif id(one) not in done and isinstance(one, (*_EXTENDED, slice)):
            inside.add(id(one))
            todo += [(one, True), *((part, False) for part in _parts(one))]
    return None


def _collect(items: Iterable[Any], found: list[Any], subclasses: bool) -> None:
    for item in items:
        kind = type(item)
        if kind in _ATOMS:
            found.append(item)
        elif kind in _CONTAINERS or (subclasses and isinstance(item, _EXTENDED)):
            parts = item if kind is tuple or kind is list else _parts(item)
            if _ATOMS.issuperset(map(type, parts)):
                found += parts
            else:
                _collect(parts, found, subclasses)
        else:
            found.append(item)


def _parts(thing: Any) -> Sequence[Any]:
    if isinstance(thing, slice):
        return thing.start, thing.stop, thing.step
    if isinstance(thing, dict):
        return [*chain.from_iterable(thing.items())]
    return thing  # type: ignore[no-any-return]  # a tuple or a list


def rebuild(thing: Any, change: Callable[[Any], Any], *, subclasses: bool = False) -> Any:
    """Returns the same nested containers with `change(leaf)` in place of each leaf.

    `change` is called in the order of `leaves`. All containers are copied; with `subclasses`, an
    instance of a subclass of tuple or list is copied only if an item changes, and one of a
    subclass of dict becomes a plain dict.
    """
    try:
        return _rebuild(thing, _into_subclasses(change) if subclasses else change)
    except RecursionError:
        raise _endless(thing) from None


def _rebuild(thing: Any, change: Callable[[Any], Any]) -> Any:
    kind = type(thing)
    if kind is tuple or kind is list:
        return kind([_rebuild(x, change) if type(x) in _CONTAINERS else change(x) for x in thing])
    if kind is dict:
        return {_rebuild(key, change): _rebuild(item, change) for key, item in thing.items()}
    if kind is slice:
        return slice(*_rebuild((thing.start, thing.stop, thing.step), change))
    return change(thing)


def _into_subclasses(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def changed(leaf: Any) -> Any:
        if isinstance(leaf, dict):
            return _rebuild({**leaf}, changed)
        if isinstance(leaf, tuple | list):
            items = _rebuild([*leaf], changed)
            return leaf if all(map(is_, items, leaf)) else _made_like(leaf, items)
        return change(leaf)

    return changed


def _made_like(thing: Any, items: list[Any]) -> Any:
    """Returns a tuple or list of the same class with other items."""
    return type(thing)(*items) if hasattr(thing, "_fields") else type(thing)(items)


def alike(one: Any, other: Any, same: Callable[[Any, Any], bool]) -> bool:
    """Returns whether two nested containers have the same structure (classes, lengths, order of
    dict items) and `same` holds for each pair of leaves, including keys."""
    kind = type(one)
    if kind not in _CONTAINERS or kind is not type(other):
        return same(one, other)
    ones, others = _parts(one), _parts(other)
    try:
        return len(ones) == len(others) and all(
            alike(a, b, same) for a, b in zip(ones, others, strict=True)
        )
    except RecursionError:
        raise _endless(one) from None


def places(thing: Any, path: LeafPath = ()) -> Iterator[tuple[LeafPath, Any]]:
    """Yields each leaf with its path, inside subclasses of containers, too; dict keys are not
    leaves here, but components of paths."""
    if isinstance(thing, dict):
        items: Any = thing.items()
    elif isinstance(thing, tuple | list | slice):
        items = enumerate(_parts(thing))
    else:
        yield path, thing
        return
    for key, item in items:
        try:
            yield from places(item, (*path, key))
        except RecursionError:
            raise _endless(thing) from None


def replace_at(thing: Any, new: Mapping[LeafPath, Any], path: LeafPath = ()) -> Any:
    """Returns the same nested containers with leaves or containers at some paths replaced.

    Containers that hold no path of `new` are not copied.
    """
    if path in new:
        return new[path]
    if not any(place[: len(path)] == path for place in new):
        return thing
    if isinstance(thing, dict):
        return {key: replace_at(item, new, (*path, key)) for key, item in thing.items()}
    if isinstance(thing, slice):
        return slice(*[replace_at(x, new, (*path, i)) for i, x in enumerate(_parts(thing))])
    if isinstance(thing, tuple | list):
        items = [replace_at(item, new, (*path, i)) for i, item in enumerate(thing)]
        return _made_like(thing, items)
    return thing
