"""Rules for assignments: of names, parts of tensors and containers, attributes, and in place."""

import ast
from collections.abc import Sequence

from torch import Tensor, nn

from runner.graph.frontend.python.abstract import (
    Abstract,
    Items,
    Iterated,
    Known,
    Missing,
    is_static,
    sequence_of,
    thing_of,
)
from runner.graph.frontend.python.attributes import attribute, set_attribute
from runner.graph.frontend.python.branches import require
from runner.graph.frontend.python.containers import item, set_item
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.frontend.python.iteration import IteratedItem, known_items, opened, taken
from runner.graph.frontend.python.operators import binary
from runner.graph.ir.node import Value
from runner.python_operators import BINARY

_STEMS = {found.syntax: found for found in BINARY}


@reads(ast.Assign)
def _assign(ev: Evaluation, node: ast.Assign) -> None:
    value = ev.evaluate(node.value)
    for target in node.targets:
        assign(ev, target, value)


@reads(ast.AnnAssign)
def _annotated(ev: Evaluation, node: ast.AnnAssign) -> None:
    if node.value is not None:
        assign(ev, node.target, ev.evaluate(node.value))


@reads(ast.NamedExpr)
def _named(ev: Evaluation, node: ast.NamedExpr) -> Abstract:
    value = ev.evaluate(node.value)
    assign(ev, node.target, value)
    return value


def assign(ev: Evaluation, target: ast.expr, value: Abstract) -> None:
    """Assigns a value to a target."""
    match target:
        case ast.Name(name):
            ev.assign(name, value)
        case ast.Tuple(targets) | ast.List(targets):
            _unpack(ev, targets, value)
        case ast.Attribute(owner, name):
            set_attribute(ev, ev.evaluate(owner), ev.mangled(name), value)
        case ast.Subscript(owner, index):
            set_item(ev, ev.evaluate(owner), ev.evaluate(index), value)
        case _:
            raise ev.error("this target of an assignment has no form in a graph")


def _unpack(ev: Evaluation, targets: Sequence[ast.expr], value: Abstract) -> None:
    if type(value) is Missing:
        raise ev.error(value.why)
    starred = [at for at, target in enumerate(targets) if isinstance(target, ast.Starred)]
    if not starred and _maps_unknown(ev, value):
        assert type(value) is Iterated, "a map"
        function, over = value.parts
        taken_apart = ev.create("unpack", "", (ev.argument(over),), outputs=[""] * len(targets))
        results = [ev.around.call(ev, function, [each], {}) for each in taken_apart.outputs]
        for target, result in zip(targets, results, strict=True):
            assign(ev, target, result)
        return
    value = opened(value)
    items = known_items(ev, value)
    if items is None and not starred:
        given = ev.argument(sequence_of(value))
        node = ev.create("unpack", "", (given,), outputs=[""] * len(targets))
        for target, output in zip(targets, node.outputs, strict=True):
            assign(ev, target, output)
        return
    if not starred:
        assert items is not None, "else they were unpacked by a node"
        if len(items) != len(targets):
            raise ev.error(f"{len(items)} values are unpacked into {len(targets)} variables")
        for target, found in zip(targets, items, strict=True):
            assign(ev, target, taken(found))
        return
    _unpack_rest(ev, targets, starred[0], value, items)


def _maps_unknown(ev: Evaluation, value: Abstract) -> bool:
    """Returns whether a value is a `map` over one sequence that is not known item by item."""
    if type(value) is not Iterated or value.kind != "map" or len(value.parts) != 2:
        return False
    return known_items(ev, value.parts[1]) is None


def _unpack_rest(
    ev: Evaluation,
    targets: Sequence[ast.expr],
    at: int,
    value: Abstract,
    items: list[IteratedItem] | None,
) -> None:
    """Assigns `a, *b, c = value`."""
    after = len(targets) - at - 1
    rest = targets[at]
    assert isinstance(rest, ast.Starred), "the place of the star"
    if items is not None:
        values = [taken(found) for found in items]
        stop = len(values) - after
        if stop < at:
            raise ev.error(f"{len(values)} values are unpacked into more variables")
        middle = ev.emit("list", "", values[at:stop])
        ev.lists[middle] = tuple(values[at:stop])
        parts: list[Abstract] = [*values[:at], middle, *values[stop:]]
    else:
        listed = ev.emit("call_function", "builtins:list", (value,))
        if at and after:
            count = ev.emit("call_function", "builtins:len", (listed,))
            message = Known(f"expected at least {at + after} values to unpack")
            enough = ev.operator("ge", count, Known(at + after))
            require(ev, enough, lambda: [message], error="ValueError")
        whole = slice(at or None, -after or None, None)
        parts = [
            *(ev.operator("getitem", listed, Known(i)) for i in range(at)),
            ev.operator("getitem", listed, Known(whole)),
            *(ev.operator("getitem", listed, Known(i - after)) for i in range(after)),
        ]
    for target, part in zip(targets, parts, strict=True):
        assign(ev, target.value if isinstance(target, ast.Starred) else target, part)


# In place


@reads(ast.AugAssign)
def _augmented(ev: Evaluation, node: ast.AugAssign) -> None:
    found = _STEMS[type(node.op)]
    target = node.target
    match target:
        case ast.Name(name):
            old = ev.evaluate(ast.copy_location(ast.Name(name, ast.Load()), target))
            ev.assign(name, in_place(ev, found.stem, old, ev.evaluate(node.value)))
        case ast.Attribute(owner_node, name):
            owner, name = ev.evaluate(owner_node), ev.mangled(name)
            old = attribute(ev, owner, name)
            value = ev.evaluate(node.value)
            if _is_own_tensor(old) or _is_read_tensor(ev, owner, name):
                given = (ev.argument(old), ev.argument(value))
                ev.create("call_function", f"operator:i{found.stem}", given, outputs=())
            else:
                set_attribute(ev, owner, name, in_place(ev, found.stem, old, value))
        case ast.Subscript(owner_node, index_node):
            owner = ev.evaluate(owner_node)
            index = ev.evaluate(index_node)
            old = item(ev, owner, index)
            set_item(ev, owner, index, in_place(ev, found.stem, old, ev.evaluate(node.value)))


def _is_own_tensor(value: Abstract) -> bool:
    return type(value) is Known and isinstance(value.thing, Tensor)


def _is_read_tensor(ev: Evaluation, owner: Abstract, name: str) -> bool:
    """Returns whether an attribute that methods set holds a tensor of the model in any case."""
    thing = thing_of(owner) if is_static(owner) else None
    return isinstance(thing, nn.Module) and name in thing._parameters


def in_place(ev: Evaluation, stem: str, old: Abstract, value: Abstract) -> Abstract:
    """Returns the value of `old += value`, which changes the object itself if its class can."""
    immutable = type(old) is Items or (
        is_static(old) and isinstance(thing_of(old), int | float | complex | str | tuple)
    )
    if immutable:
        return binary(ev, next(each for each in BINARY if each.stem == stem), old, value)
    if type(old) is Known and isinstance(old.thing, list | dict | set):
        ev.changes(old)
    items = ev.lists.get(old) if isinstance(old, Value) else None
    more = known_items(ev, value) if items is not None and stem == "add" else None
    result = ev.operator(f"i{stem}", old, value)
    ev.forget(old)
    if items is not None and more is not None:
        ev.lists[result] = (*items, *map(taken, more))
    return result
