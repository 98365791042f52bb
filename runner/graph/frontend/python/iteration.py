"""Iteration: over what is known item by item, and over sequences that are counted in the IR."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor

from runner.graph.frontend.python.abstract import (
    VIEWS,
    Abstract,
    Items,
    Iterated,
    Known,
    Named,
    is_changeable,
    is_laid_out,
    is_static,
    is_undecided,
    thing_of,
)
from runner.graph.frontend.python.container_effects import MUTATING
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.python.source import Unreadable
from runner.graph.frontend.python.special_methods import special
from runner.graph.ir.node import Argument, Block, Node, Value, is_int, producer
from runner.nn.values.expression import is_symbolic

FOREVER = 2**63 - 1  # the length of an infinite sequence, as in `codegen.control_flow.iteration`
IteratedItem = Abstract | Callable[[], Abstract]  # one that is taken when its iteration begins
ItemAt = Callable[[int], IteratedItem | None]  # the items of an iteration by number, then None


@dataclass(frozen=True)
class CountedHead:
    """The head of a loop in the IR: its trip count (None for none), what it does first with its
    index, and the condition before each iteration, if any."""

    trips: Argument
    step: Callable[[Value], None]
    test: Callable[[], Abstract] | None = None
    over: Sequence[Abstract] = ()  # the sequences, whose length must not change


# Known item by item


@final
@dataclass(frozen=True)
class UnknownParts:
    """The sequences of unknown length that are iterated together with something known, and the
    items that were taken from them."""

    sequences: list[Abstract] = field(default_factory=list)
    items: list[Value] = field(default_factory=list)


def known_items(ev: Evaluation, over: Abstract) -> list[IteratedItem] | None:
    """Returns what an iteration yields if nothing changes meanwhile; None if that is not known."""
    walk = known_walk(ev, over)
    if walk is None:
        return None
    items: list[IteratedItem] = []
    while (item := walk(len(items))) is not None:
        items.append(item)
    return items


def opened(value: Abstract) -> Abstract:
    """Returns a value whose items are taken now: an iterator that computes them does so."""
    if type(value) is Iterated and value.make is not None:
        return Iterated("iter", (value.make(),))
    return value


def known_walk(
    ev: Evaluation, over: Abstract, unknown: UnknownParts | None = None
) -> ItemAt | None:
    """Returns the iteration over what is known item by item, which takes each item when its turn
    comes, as Python does; None if that is not known. Given `unknown`, something known together
    with sequences that are taken to be at least as long counts as known."""
    match over:
        case Items():
            return _fixed(over.items)
        case Value() if over in ev.lists:
            return lambda at: _at(_still(ev, ev.lists.get(over)), at)
        case Value() | Named() if over in ev.dicts:
            return _over_dict(ev, over, "keys")
        case Iterated(kind, (owner,)) if kind in VIEWS:
            known = isinstance(owner, Value) and owner in ev.dicts
            return _over_dict(ev, owner, kind) if known else None
        case Iterated("iter", (inner,)):
            return known_walk(ev, inner, unknown)
        case Iterated("zip" | "enumerate"):
            return _together(ev, over, unknown)
        case Known() if (own := special(ev, "__iter__", over)) is not None:
            if (walk := known_walk(ev, opened(own), unknown)) is None:
                raise ev.error("what the __iter__() of a module gives is not known item by item")
            return walk
        case Known() if is_laid_out(over):
            listed = _listed(ev, over.thing)
            if not isinstance(over.thing, list | tuple):
                return _fixed([*map(Known, listed)])
            return _fixed([known_part(ev, over, Known(at), part) for at, part in enumerate(listed)])
    return None


def known_part(ev: Evaluation, owner: Abstract, index: Abstract, part: Any) -> Known:
    """Returns an item of a container that is known: one that can change is read from there."""
    if type(owner) is not Known or not is_changeable(part):
        return Known(part)
    is_placed = isinstance(part, Tensor) and ev.around.place_of(part) is not None
    if owner.write is None or is_placed:
        return Known(part, None, owner.origin)
    return Known(part, lambda: ev.operator("getitem", owner, index), owner.origin)


def _at(items: Sequence[IteratedItem], at: int) -> IteratedItem | None:
    return items[at] if at < len(items) else None


def _fixed(items: Sequence[IteratedItem]) -> ItemAt:
    return lambda at: _at(items, at)


def _still(ev: Evaluation, found: Any) -> Any:
    if found is None:
        raise ev.error("it changes what the loop iterates over")
    return found


def _over_dict(ev: Evaluation, owner: Any, kind: str) -> ItemAt:
    keys = [*ev.dicts[owner]]

    def walk(at: int) -> IteratedItem | None:
        pairs: Mapping[Any, Abstract] = _still(ev, ev.dicts.get(owner))
        if [*pairs] != keys:
            raise ev.error("a dict changes its size in a loop over it")
        if at == len(keys):
            return None
        key, value = Known(keys[at]), pairs[keys[at]]
        if kind == "items":
            return Items((key, value))
        return key if kind == "keys" else value

    return walk


def _listed(ev: Evaluation, thing: Any) -> Sequence[Any]:
    listed: list[Any] = ev.evaluated(list, thing)
    return listed


def _together(ev: Evaluation, over: Iterated, unknown: UnknownParts | None) -> ItemAt | None:
    walks = [known_walk(ev, part) for part in over.parts]
    if all(walk is None for walk in walks) or (None in walks and unknown is None):
        return None
    pairs = zip(walks, over.parts, strict=True)
    if any(walk is None and _is_undecided_length(part) for walk, part in pairs):
        return None
    if over.kind == "enumerate" and not is_static(over.start):
        return None
    columns = [
        walk or _indexed(ev, part, unknown or UnknownParts())
        for part, walk in zip(over.parts, walks, strict=True)
    ]

    def walk(at: int) -> IteratedItem | None:
        row = []
        for column in columns:
            item = column(at)
            if item is None:
                return None
            row.append(item)
        if over.kind == "enumerate":
            row.insert(0, Known(thing_of(over.start) + at))
        if not any(map(callable, row)):
            return Items(tuple(map(taken, row)))
        return lambda: Items(tuple(map(taken, row)))

    return walk


def _is_undecided_length(part: Abstract) -> bool:
    """Returns whether the sample decides how long a sequence is, or the number of a `range`
    does."""
    if isinstance(part, Value):
        node = part.node
        return node is not None and (node.target == "builtins:range" or is_symbolic(node.args))
    return type(part) is Known and is_undecided(part.thing)


def _indexed(ev: Evaluation, part: Abstract, unknown: UnknownParts) -> ItemAt:
    """Returns the iteration over a sequence, or over an iterator or view, of which a list is made
    first: as long as needed."""
    node = part.node if isinstance(part, Value) else None
    is_called = node is not None and node.op in ("call_function", "call_method")
    if type(part) is Iterated or (is_called and not _is_indexed(node)):
        part = ev.emit("call_function", "builtins:list", (part,))
    unknown.sequences.append(part)

    def take(at: int) -> Value:
        unknown.items.append(ev.operator("getitem", part, Known(at)))
        return unknown.items[-1]

    return lambda at: lambda: take(at)


def _is_indexed(node: Any) -> bool:
    """Returns whether a call is taken to return a sequence: of torch's, or of a tensor."""
    if node.op == "call_method":
        return node.target not in VIEWS
    return bool(node.target.startswith("torch"))


def taken(item: IteratedItem) -> Abstract:
    """Returns the value of an item, when its iteration begins."""
    return item() if callable(item) else item


def check_unchanged(over: Sequence[Abstract], body: Block) -> None:
    """Raises Unreadable if the body of a loop changes a sequence that the loop iterates over, but
    for the item of the present iteration."""
    for node in body.walk():
        first = node.args[0] if node.args else None
        if _changes(node, body) and any(first is value for value in over):
            raise Unreadable(f"{node.line}: it changes a list that the loop iterates over")


def _changes(node: Node, body: Block) -> bool:
    if node.op == "call_method":
        return node.target in MUTATING
    if node.target == "operator:setitem":
        place = producer(node.args[1])
        is_item = place is not None and place.args[1:] == (body.inputs[0],)  # a key of a dict
        return node.args[1] is not body.inputs[0] and not is_item
    return node.target in ("operator:iadd", "operator:imul", "operator:delitem")


# Counted


def counted(
    ev: Evaluation, over: Abstract, bind: Callable[[Abstract], None], target: ast.expr
) -> CountedHead | None:
    """Returns the head of a loop that counts, and that passes each item to `bind`; None for what
    is no sequence in the IR."""
    if (numbers := _range(ev, over)) is not None:
        return _counting(ev, numbers, bind, target)
    cursor = _cursor(ev, over)
    if cursor is None:
        return None
    lengths = [*cursor.lengths]
    trips = lengths[0]
    if len(lengths) > 1:
        trips = ev.create("call_function", "builtins:min", (lengths,)).output
    return CountedHead(trips, lambda index: bind(cursor.item(index)), over=cursor.over)


@dataclass(frozen=True)
class _Cursor:
    """What is iterated, by index: the item at one, and the lengths that end the iteration."""

    item: Callable[[Value], Abstract]
    lengths: Sequence[Argument]
    over: Sequence[Abstract]  # the sequences themselves


def _cursor(ev: Evaluation, over: Abstract) -> _Cursor | None:
    if type(over) is Iterated and over.kind in ("zip", "enumerate"):
        inner = [_cursor(ev, part) for part in over.parts]
        known = [cursor for cursor in inner if cursor is not None]
        if len(known) < len(inner):
            return None
        joined = _Cursor(
            lambda index: Items(tuple([cursor.item(index) for cursor in known])),
            [length for cursor in known for length in cursor.lengths],
            [part for cursor in known for part in cursor.over],
        )
        return joined if over.kind == "zip" else _enumerated(ev, over.start, known[0])
    sequence = _sequence(ev, over)
    if sequence is None:
        return None
    length = ev.emit("call_function", "builtins:len", (sequence,))
    return _Cursor(lambda index: ev.operator("getitem", sequence, index), [length], [over])


def _enumerated(ev: Evaluation, start: Abstract, inner: _Cursor) -> _Cursor:
    first = thing_of(start) if is_static(start) else None

    def item(index: Value) -> Abstract:
        number = index if first == 0 else ev.operator("add", index, start)
        return Items((number, inner.item(index)))

    limit = [] if first is None else [FOREVER - first]
    return _Cursor(item, [*limit, *inner.lengths], inner.over)


def _sequence(ev: Evaluation, part: Abstract) -> Value | None:
    """Returns a sequence to count along: a list itself, else a list of what is iterated."""
    if (numbers := _range(ev, part)) is not None:
        return ev.create("call_function", "builtins:range", numbers).output
    if type(part) is Iterated:
        return ev.emit("call_function", "builtins:list", (part,))
    if isinstance(part, Value):
        if part.node is not None and part.node.op == "list":
            return part
        return ev.emit("call_function", "builtins:list", (part,))
    if type(part) is Known and (isinstance(part.thing, Tensor) or is_undecided(part.thing)):
        return ev.emit("call_function", "builtins:list", (part,))
    if type(part) is Known and isinstance(part.thing, list | tuple) and part.write is not None:
        written = part.write()
        return written if isinstance(written, Value) else None
    return None


def _range(ev: Evaluation, over: Abstract) -> tuple[Argument, ...] | None:
    """Returns the arguments of a `range`; None for anything else."""
    if type(over) is Known and isinstance(over.thing, range):
        if over.write is not None:
            return _range_node(over.write())
        numbers = over.thing
        if numbers.step != 1:
            return (numbers.start, numbers.stop, numbers.step)
        return (numbers.start, numbers.stop) if numbers.start else (numbers.stop,)
    return _range_node(over) if isinstance(over, Value) else None


def _range_node(argument: Argument) -> tuple[Argument, ...] | None:
    node = argument.node if isinstance(argument, Value) else None
    if node is None or node.target != "builtins:range":
        return None
    args: tuple[Argument, ...] = node.args
    return args


def _counting(
    ev: Evaluation,
    numbers: tuple[Argument, ...],
    bind: Callable[[Abstract], None],
    target: ast.expr,
) -> CountedHead:
    start, stop, step = (0, *numbers, 1) if len(numbers) == 1 else (*numbers, 1)[:3]
    if is_int(start, 0) and is_int(step, 1):

        def first(index: Value) -> None:
            if isinstance(target, ast.Name) and not index.name:
                index.name = target.id
            bind(index)

        return CountedHead(stop, first)
    listed = ev.create("call_function", "builtins:range", numbers).output
    trips = ev.emit("call_function", "builtins:len", (listed,))

    def item(index: Value) -> None:
        value = index
        if not is_int(step, 1):
            value = ev.create("call_function", "operator:mul", (value, step)).output
        if not is_int(start, 0):
            value = ev.create("call_function", "operator:add", (value, start)).output
        bind(value)

    return CountedHead(trips, item)
