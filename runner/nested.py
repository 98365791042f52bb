"""One walk and one rebuild over nested containers, as `map_aggregate` of torch.fx.

Containers are tuples, lists, dicts (keys and values) and slices; anything else is a leaf. Objects
of other classes are leaves even where they derive from a container, unless `subclasses` is set:
named tuples and `torch.return_types` are then walked too, and rebuilt as what they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import is_
from typing import Any

LeafPath = tuple[Any, ...]  # per container an index, a key, or a part of a slice (0 to 2)

_CONTAINERS = frozenset([tuple, list, dict, slice])
_EXTENDED = (tuple, list, dict)  # what has subclasses; a union takes longer to ask for


def leaves(thing: Any, *, subclasses: bool = False) -> list[Any]:
    """Returns all leaves of nested containers, in order: of a dict each key before its value.

    Example: `leaves(([1, 2], {"a": slice(3, None)}))` is `[1, 2, "a", 3, None, None]`.
    """
    found: list[Any] = []
    _collect((thing,), found, subclasses)
    return found


def _collect(items: Sequence[Any], found: list[Any], subclasses: bool) -> None:
    for item in items:
        kind = type(item)
        if kind is tuple or kind is list:
            _collect(item, found, subclasses)
        elif kind is dict or kind is slice or (subclasses and isinstance(item, _EXTENDED)):
            _collect(_parts(item), found, subclasses)
        else:
            found.append(item)


def _parts(thing: Any) -> Sequence[Any]:
    if isinstance(thing, slice):
        return thing.start, thing.stop, thing.step
    if isinstance(thing, dict):
        return [part for item in thing.items() for part in item]
    return thing  # type: ignore[no-any-return]  # a tuple or a list


def rebuild(thing: Any, change: Callable[[Any], Any], *, subclasses: bool = False) -> Any:
    """Returns the same nested containers with `change(leaf)` in place of each leaf.

    `change` is called in the order of `leaves`. All containers are new ones; with `subclasses`, a
    subclass of tuple or list makes a new object if an item of it is another one, and a subclass of
    dict becomes a plain dict.
    """
    return _rebuild(thing, _into_subclasses(change) if subclasses else change)


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
    """A tuple or list of the same class with other items."""
    return type(thing)(*items) if hasattr(thing, "_fields") else type(thing)(items)


def alike(one: Any, other: Any, same: Callable[[Any, Any], bool]) -> bool:
    """Returns whether two nested containers have equal structure (classes, lengths and order of
    the items of dicts) and `same` holds for each pair of leaves, keys included."""
    kind = type(one)
    if kind not in _CONTAINERS or kind is not type(other):
        return same(one, other)
    ones, others = _parts(one), _parts(other)
    return len(ones) == len(others) and all(
        alike(a, b, same) for a, b in zip(ones, others, strict=True)
    )


def places(thing: Any, path: LeafPath = ()) -> Iterator[tuple[LeafPath, Any]]:
    """Yields each leaf with its path, subclasses of containers included; keys of dicts are no
    leaves here, but steps of a path."""
    if isinstance(thing, dict):
        items: Any = thing.items()
    elif isinstance(thing, tuple | list | slice):
        items = enumerate(_parts(thing))
    else:
        yield path, thing
        return
    for key, item in items:
        yield from places(item, (*path, key))


def replace_at(thing: Any, new: Mapping[LeafPath, Any], path: LeafPath = ()) -> Any:
    """Returns the same nested containers with other things, leaves or containers, at some paths.

    Containers without a path of `new` inside them are not copied.
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
