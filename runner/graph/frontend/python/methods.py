"""Calls of methods of objects: of values, of containers that are known, and of plain objects."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from runner.graph.frontend.python.abstract import (
    NONE,
    VIEWS,
    Abstract,
    Items,
    Iterated,
    Known,
    Named,
    is_changeable,
    is_static,
    thing_of,
)
from runner.graph.frontend.python.attributes import attribute
from runner.graph.frontend.python.container_effects import MUTATING
from runner.graph.frontend.python.containers import found, named_items, new_list, set_item
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.python.iteration import known_items, known_part, taken
from runner.graph.frontend.python.known_functions import order
from runner.graph.frontend.reading.module_values import modules_of
from runner.graph.ir.node import Value
from runner.nn.values.expression import Expression
from runner.operators import acts


def call_method(
    ev: Evaluation,
    owner: Abstract,
    name: str,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
) -> Abstract:
    """Returns the value of `owner.name(*args, **kwargs)`."""
    if isinstance(owner, Value):
        return _call_of_value(ev, owner, name, args, kwargs)
    if type(owner) is Named:
        return _call_of_named(ev, owner, name, args)
    if type(owner) is Known and isinstance(owner.thing, Tensor):
        return ev.emit("call_method", name, (owner, *args), kwargs)
    if is_static(owner) and _is_plain_object(owner):
        return _call_of_plain(ev, owner, name, args, kwargs)
    if type(owner) is Items or (type(owner) is Known and isinstance(owner.thing, Expression)):
        return ev.emit("call_method", name, (owner, *args), kwargs)
    return ev.around.call(ev, attribute(ev, owner, name), args, kwargs)


def _is_plain_object(owner: Abstract) -> bool:
    thing = thing_of(owner)
    kinds = (int, float, complex, str, bytes, tuple, list, dict, set, frozenset, range, slice)
    return isinstance(thing, kinds) and not isinstance(thing, nn.Module)


def _call_of_plain(
    ev: Evaluation,
    owner: Abstract,
    name: str,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
) -> Abstract:
    """Returns the value of a method of a number, text or container that is known."""
    thing = thing_of(owner)
    if isinstance(thing, list | dict | set) and not _is_pure(thing, name):
        ev.changes(owner)
    if not all(map(is_static, (*args, *kwargs.values()))):
        if name == "join" and isinstance(thing, str) and args:
            items = known_items(ev, args[0])
            if items is not None:
                listed = ev.emit("list", "", [*map(taken, items)])
                return ev.emit("call_method", name, (owner, listed))
        return ev.emit("call_method", name, (owner, *args), kwargs)
    if isinstance(thing, dict) and any(map(is_changeable, thing.values())):
        pairs = {key: known_part(ev, owner, Known(key), part) for key, part in thing.items()}
        if (view := _of_pairs(pairs, name, args)) is not None:
            return view
    method = getattr(thing, name, None)
    if method is None:
        raise ev.error(f"a {type(thing).__name__} has no attribute {name!r}")
    return found(ev, ev.now(method, args, kwargs))


def _is_pure(thing: Any, name: str) -> bool:
    """Returns whether a method of a container changes nothing: one of those of Python."""
    return name in _PURE and not inspect.isfunction(inspect.getattr_static(type(thing), name, None))


_PURE = frozenset(
    ("get", "keys", "values", "items", "copy", "index", "count", "union", "intersection",
     "difference", "symmetric_difference", "issubset", "issuperset", "isdisjoint",
     "__len__", "__contains__")
)  # fmt: skip


def _call_of_value(
    ev: Evaluation,
    owner: Value,
    name: str,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
) -> Abstract:
    if name == "__setitem__" and len(args) == 2 and not kwargs:
        set_item(ev, owner, *args)
        return NONE
    items, pairs = ev.lists.get(owner), ev.dicts.get(owner)
    if pairs is not None and name in VIEWS and not args:
        return Iterated(name, (owner,))
    view = _of_pairs(pairs, name, args) if pairs is not None and not kwargs else None
    if view is not None:
        return view
    if items and name == "sort" and "key" in kwargs and _is_ordered_now(items, kwargs["key"]):
        ordered = tuple(items[at] for at in order(ev, items, kwargs))
        set_item(ev, owner, Known(slice(None)), new_list(ev, ordered))
        ev.lists[owner] = ordered
        return NONE
    changed = _changed(ev, items, name, args) if items is not None else None
    if (not acts(f".{name}") and _is_object(ev, owner)) or modules_of(ev.around.found, owner):
        return call_through(ev, owner, name, args, kwargs)
    result = ev.emit("call_method", name, (owner, *args), kwargs)
    if changed is not None:
        ev.lists[owner] = changed
    elif name in MUTATING:
        ev.forget(owner)
    if name == "copy" and items is not None:
        ev.lists[result] = items
    if name == "pop" and items and changed is not None:
        return items[thing_of(args[0]) if args else -1]
    return result


def _is_ordered_now(items: Sequence[Abstract], key: Abstract) -> bool:
    """Returns whether a list is to be sorted now: if its items are known, or the key has no
    argument."""
    return all(map(is_static, items)) or not is_static(key)


def call_through(
    ev: Evaluation,
    owner: Value,
    name: str,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
) -> Abstract:
    """Creates a call of a method whose name says nothing of what it changes, as `add` of a set,
    which a tensor has as well."""
    method = attribute(ev, owner, name)
    return ev.emit("call_method", "__call__", (method, *args), kwargs)


def _is_object(ev: Evaluation, owner: Value) -> bool:
    """Returns whether a value is an attribute that the model changes and that holds no tensor, or
    a parameter that takes none."""
    node = owner.node
    if node is None:
        return owner.name in ev.around.objects and owner in ev.function.inputs
    if node.op != "get_attr":
        return False
    thing = ev.around.found(node.target)
    return not isinstance(thing, Tensor | nn.Module | type(None))


def _of_pairs(
    pairs: Mapping[Any, Abstract], name: str, args: Sequence[Abstract]
) -> Abstract | None:
    if name == "items" and not args:
        return Items(tuple(Items((Known(key), value)) for key, value in pairs.items()))
    if name == "keys" and not args:
        return Items(tuple(map(Known, pairs)))
    if name == "values" and not args:
        return Items(tuple(pairs.values()))
    if name == "get" and args and is_static(args[0]):
        default = args[1] if len(args) > 1 else Known(None)
        return pairs.get(thing_of(args[0]), default)
    return None


def _call_of_named(ev: Evaluation, owner: Named, name: str, args: Sequence[Abstract]) -> Abstract:
    """Returns the value of a method of the keyword arguments of a call."""
    pairs = named_items(ev, owner)
    view = _of_pairs(pairs, name, args)
    if view is not None:
        return view
    if name == "copy" and not args:
        made = Named()
        ev.dicts[made] = pairs
        return made
    if name == "pop" and args and is_static(args[0]):
        key = thing_of(args[0])
        if key in pairs or len(args) > 1:
            value = pairs.pop(key) if key in pairs else args[1]
            ev.dicts[owner] = pairs
            return value
    raise ev.error(f"the method {name!r} of keyword arguments has no form in a graph")


def _changed(
    ev: Evaluation, items: tuple[Abstract, ...], name: str, args: Sequence[Abstract]
) -> tuple[Abstract, ...] | None:
    """Returns the items of a list after a method that changes it; None if they are unknown."""
    match name, args:
        case "append", [value]:
            return (*items, value)
        case "extend", [values]:
            more = known_items(ev, values)
            return None if more is None else (*items, *map(taken, more))
        case "insert", [at, value] if is_static(at):
            listed = [*items]
            listed.insert(thing_of(at), value)
            return tuple(listed)
        case "reverse", []:
            return items[::-1]
        case "clear", []:
            return ()
        case "pop", []:
            return items[:-1] if items else None
        case "pop", [at] if is_static(at) and -len(items) <= thing_of(at) < len(items):
            listed = [*items]
            listed.pop(thing_of(at))
            return tuple(listed)
    return None
