"""Rules for loops: as nodes of the IR, or evaluated one iteration after another."""

import ast
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from runner.graph.frontend.python import truth as truths
from runner.graph.frontend.python.abstract import (
    FALSE,
    NEVER,
    NONE,
    TRUE,
    VIEWS,
    Abstract,
    Items,
    Iterated,
    Known,
    Missing,
    is_constant,
    is_held,
    is_open,
    is_static,
    thing_of,
)
from runner.graph.frontend.python.assignments import assign
from runner.graph.frontend.python.branches import (
    UNSET,
    block,
    choose,
    choose_value,
    inside,
    value_of,
)
from runner.graph.frontend.python.choices import blocks
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.frontend.python.iteration import (
    CountedHead,
    ItemAt,
    IteratedItem,
    UnknownParts,
    check_unchanged,
    counted,
    known_walk,
    opened,
    taken,
)
from runner.graph.frontend.python.names import carried_names
from runner.graph.frontend.python.source import Unreadable
from runner.graph.ir.node import Value
from runner.nn.values.expression import compute

# The items of an iteration by number, each with whether the sample has it
BlockWalk = Callable[[int], tuple[IteratedItem, Abstract] | None]
UNROLLED = 4096  # iterations of a loop that is evaluated now


@reads(ast.For)
def _for(ev: Evaluation, node: ast.For) -> None:
    over = opened(ev.evaluate(node.iter))
    if _has_blocks(over) and (rows := _block_walk(ev, over)) is not None:
        _over_blocks(ev, node, rows)
        return
    unknown = UnknownParts()
    walk = known_walk(ev, over, unknown)
    if walk is not None and not _is_countable(walk):
        _unroll(ev, node, walk, unknown)
        return
    bind = partial(assign, ev, node.target)
    head = counted(ev, over, bind, node.target)
    if walk is None:
        if head is None:
            listed_ = ev.emit("call_function", "builtins:list", (over,))
            head = counted(ev, listed_, bind, node.target)
        assert head is not None, "a list can be counted"
        _loop(ev, node, head)
    elif head is None:
        _unroll(ev, node, walk, unknown)
    else:
        ev.attempt(lambda: _strict_loop(ev, node, head), lambda: _unroll(ev, node, walk, unknown))


def _over_blocks(ev: Evaluation, node: ast.For, rows: BlockWalk) -> None:
    """Evaluates a loop over the blocks of a Repeat, each if the sample has it."""

    def iterate(at: int) -> None:
        if (row := rows(at)) is None:
            return
        item, is_there = row

        def run() -> None:
            _iterations(ev, node, lambda at: None if at else item)
            choose(ev, value_of(ev, "$goes", TRUE), partial(iterate, at + 1), lambda: None)

        choose(ev, is_there, run, lambda: None)

    with _exits(ev):
        iterate(0)
    _otherwise(ev, node)


def _has_blocks(over: Abstract) -> bool:
    """Returns whether an iteration is over a Repeat, alone or in a `zip` or `enumerate`."""
    if type(over) is Iterated and over.kind in ("zip", "enumerate"):
        return any(map(_has_blocks, over.parts))
    return type(over) is Known and is_open(over.thing) and over.thing.kind == "Repeat"


def _block_walk(ev: Evaluation, over: Abstract) -> BlockWalk | None:
    """Returns an iteration over what is known item by item, of which the sample may have only the
    first; None if it is not known."""
    if not _has_blocks(over):
        walk = known_walk(ev, over)
        return None if walk is None else lambda at: _certain(walk(at))
    if type(over) is Known:
        found = blocks(over.thing)
        return lambda at: found[at] if at < len(found) else None
    assert type(over) is Iterated, "it has blocks"
    first = thing_of(over.start) if is_static(over.start) else None
    walks = [_block_walk(ev, part) for part in over.parts]
    known = [walk for walk in walks if walk is not None]
    if len(known) < len(walks) or first is None:
        return None

    def together(at: int) -> tuple[IteratedItem, Abstract] | None:
        rows = []
        for walk in known:
            if (row := walk(at)) is None:
                return None
            rows.append(row)
        number = [Known(first + at)] if over.kind == "enumerate" else []
        conditions = [is_there.thing for _, is_there in rows if type(is_there) is Known]
        parts = [part for part, _ in rows]
        return (
            lambda: Items((*number, *map(taken, parts))),
            Known(functools.reduce(partial(compute, operator.and_), conditions)),
        )

    return together


def _certain(item: IteratedItem | None) -> tuple[IteratedItem, Abstract] | None:
    return None if item is None else (item, TRUE)


def _strict_loop(ev: Evaluation, node: ast.For | ast.While, head: CountedHead) -> None:
    """Reads a loop as a node unless its body asks for more than that knows."""
    outer, ev.strict = ev.strict, True
    try:
        _loop(ev, node, head)
    finally:
        ev.strict = outer


def _is_countable(walk: ItemAt) -> bool:
    """Returns whether a loop may count along items, instead of being evaluated for each."""
    at = 0
    while (item := walk(at)) is not None and at < UNROLLED:
        if not callable(item) and not _is_plain(item):
            return False
        at += 1
    return True


def _is_plain(item: IteratedItem) -> bool:
    if type(item) is Items:
        return all(map(_is_plain, item.items))
    return isinstance(item, Value) or (
        type(item) is Known and isinstance(item.thing, int | float | str | complex | type(None))
    )


def _unroll(ev: Evaluation, node: ast.For, walk: ItemAt, unknown: UnknownParts) -> None:
    """Evaluates a loop over known items one iteration after another."""

    def straight() -> None:
        unknown.items.clear()
        with _exits(ev):
            _iterations(ev, node, walk)
        if not all(item.users for item in unknown.items):
            raise ev.error("nothing tells whether a sequence is long enough")

    def guarded() -> None:
        with _exits(ev):
            _guarded_iterations(ev, node, walk, unknown)

    if unknown.sequences:
        ev.attempt(straight, guarded)
    else:
        straight()
    _otherwise(ev, node)


def _guarded_iterations(
    ev: Evaluation, node: ast.For, walk: ItemAt, unknown: UnknownParts, at: int = 0
) -> None:
    """Evaluates iterations, each if the sequences of unknown length have an item for it."""
    if walk(at) is None:
        return
    lengths = [ev.emit("call_function", "builtins:len", (each,)) for each in unknown.sequences]
    shortest = lengths[0]
    if len(lengths) > 1:
        shortest = ev.create("call_function", "builtins:min", (lengths,)).output

    def run() -> None:
        _iterations(ev, node, lambda number: None if number else walk(at))
        on = partial(_guarded_iterations, ev, node, walk, unknown, at + 1)
        choose(ev, value_of(ev, "$goes", TRUE), on, lambda: None)

    choose(ev, ev.operator("gt", shortest, Known(at)), run, lambda: None)


def _iterations(ev: Evaluation, node: ast.For, walk: ItemAt, at: int = 0) -> None:
    """Evaluates the iterations of a loop in place, from one on."""
    while (item := walk(at)) is not None:
        if at == UNROLLED:
            raise ev.error(f"a loop of more than {at} iterations depends on what is known of each")
        assign(ev, node.target, taken(item))
        block(ev, node.body)
        ev.frame.env["$left"] = FALSE
        goes = value_of(ev, "$goes", TRUE)
        at += 1
        if is_constant(goes, False):
            return
        if not is_constant(goes, True):
            if walk(at) is not None:
                choose(ev, goes, partial(_iterations, ev, node, walk, at), lambda: None)
            return


@contextmanager
def _exits(ev: Evaluation) -> Iterator[None]:
    """Starts a loop with exits of its own; after it, only those of the function remain."""
    env = ev.frame.env
    outer = {name: value_of(ev, name, UNSET[name]) for name in ("$goes", "$broken")}
    env |= {"$left": FALSE, "$goes": TRUE, "$broken": FALSE}
    yield
    env = ev.frame.env
    broken = env.get("$broken", FALSE)
    env |= outer
    env["$was_broken"] = broken
    left = value_of(ev, "$return", FALSE)
    env["$left"] = left
    if not is_constant(left, False):
        env["$goes"] = FALSE if is_constant(left, True) else truths.negated_flag(ev, left)


def _otherwise(ev: Evaluation, node: ast.For | ast.While) -> None:
    """Reads the `else` of a loop, unless it was left by a `break` or `return`."""
    broken = ev.frame.env.pop("$was_broken")
    if not node.orelse:
        return
    left = value_of(ev, "$left", FALSE)

    def leave() -> None:
        ev.frame.env |= {"$left": TRUE, "$return": TRUE, "$goes": FALSE}

    def run() -> None:
        if not is_constant(left, False):
            ev.frame.env |= {"$left": FALSE, "$return": FALSE, "$goes": TRUE}
        choose(ev, ev.resolved(broken), lambda: None, partial(block, ev, node.orelse))

    choose(ev, left, leave, run)


def _loop(ev: Evaluation, node: ast.For | ast.While, head: CountedHead) -> None:
    """Reads a loop as a node that carries the variables which its body assigns."""
    with _exits(ev):
        _loop_node(ev, node, head)
    _otherwise(ev, node)


def _loop_node(ev: Evaluation, node: ast.For | ast.While, head: CountedHead) -> None:
    """Reads a loop as a node. A variable that turns out to have no value at the end of an
    iteration is not carried."""
    gone: list[str] = []
    while not _try_loop(ev, node, head, gone):
        pass


class _Gone(Unreadable):
    """Raised for a variable that has no value at the end of an iteration."""


class _Grown(Unreadable):
    """Raised for lists and dicts that are known, and that an iteration changes."""


def _try_loop(
    ev: Evaluation, node: ast.For | ast.While, head: CountedHead, gone: list[str]
) -> bool:
    with ev.undone_on(_Grown) as grown, ev.undone_on(_Gone) as failed:
        _carry(ev, node, head, gone)
    gone += [error.args[0] for error in failed]
    for error in grown:
        for value in error.args[1]:
            ev.forget(value)
    return not (failed or grown)


def _carry(
    ev: Evaluation, node: ast.For | ast.While, head: CountedHead, gone: Sequence[str]
) -> None:
    names, lost = carried_names(ev.frame.closure.node, node)
    lost |= {name: f"{name} is read after the loop that assigns it" for name in gone}
    names = [name for name in names if name not in gone]
    test = TRUE if head.test is None else head.test()
    flags = [name for name in _flags_of(node) if name not in names]
    env = ev.frame.env
    first: dict[str, Any] = {}
    for name in [*names, *flags]:
        value = ev.resolved(env.get(name, UNSET.get(name, Missing())))
        try:
            first[name] = None if value is NEVER or _is_unset(value) else ev.argument(value)
            ev.forget(value)
        except Unreadable as error:
            lost[name] = f"{name} changes in a loop ({error})"
    loop = ev.create(
        "loop", "", (head.trips, truths.as_flag(ev, test), *first.values()),
        outputs=[name if name[0] != "$" else "" for name in first],
    )  # fmt: skip
    body = loop.add_block()
    index = body.add_input()
    _forget_changed(ev, node)
    with inside(ev, body):
        for name in first:
            carried = body.add_input(name if name[0] != "$" else "")
            ev.frame.env[name] = UNSET.get(name, carried)  # an exit ends the iterations
        for name in lost:
            ev.frame.env[name] = Missing(lost[name])
        for name, value in ev.frame.env.items():
            if type(value) is Iterated and value.kind not in VIEWS:
                ev.frame.env[name] = Missing(f"{name} is an iterator, which the loop uses up")
        before = {**ev.lists}, {**ev.dicts}
        head.step(index)
        block(ev, node.body)
        ev.frame.env["$left"] = FALSE
        goes = value_of(ev, "$goes", TRUE)
        grown = [
            *(key for key, items in before[0].items() if ev.lists.get(key) is not items),
            *(key for key, pairs in before[1].items() if ev.dicts.get(key) is not pairs),
        ]
        if grown:
            raise _Grown("a list or dict changes in a loop that depends on its items", grown)
        after = ev.lists, ev.dicts
        again = _again(ev, goes, head)
        body.results = (again, *(ev.argument(_end(ev, name)) for name in first))
        for name in first:
            if is_held(end := ev.variable(name)):
                ev.forget(end)
    check_unchanged(head.over, body)
    ev.lists = {key: items for key, items in ev.lists.items() if after[0].get(key) is items}
    ev.dicts = {key: pairs for key, pairs in ev.dicts.items() if after[1].get(key) is pairs}
    for name, value in zip(first, loop.outputs, strict=True):
        env[name] = value
    for name, why in lost.items():
        env[name] = Missing(why)


def _is_unset(value: Abstract) -> bool:
    return type(value) is Missing and not value.why


def _end(ev: Evaluation, name: str) -> Abstract:
    value = ev.variable(name)
    if type(value) is Missing and value.why:
        raise _Gone(name)
    return NONE if _is_unset(value) else value


def _again(ev: Evaluation, goes: Abstract, head: CountedHead) -> Any:
    """Returns whether a loop goes on after an iteration."""
    if head.test is None:
        return truths.as_flag(ev, goes)
    return truths.as_flag(ev, choose_value(ev, goes, head.test, lambda: FALSE))


def _flags_of(node: ast.For | ast.While) -> list[str]:
    """Returns the variables of exits that a loop carries."""
    inner = [each for statement in node.body for each in _own_nodes(statement)]
    flags = []
    if any(isinstance(each, ast.Return) for each in inner):
        flags += ["$return", "$value"]
    if node.orelse and any(isinstance(each, ast.Break) for each in inner):
        flags.append("$broken")
    return flags


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yields a node and those inside, without those of functions defined there."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield from _own_nodes(child)


def _forget_changed(ev: Evaluation, node: ast.For | ast.While) -> None:
    """Forgets the items of lists and dicts that the body of a loop may change."""
    inner = [each for statement in node.body for each in ast.walk(statement)]
    names = {each.id for each in inner if isinstance(each, ast.Name)}
    for name in names:
        if not is_held(value := ev.variable(name)):  # a change of which is told where it is
            ev.forget(value)


@reads(ast.While)
def _while(ev: Evaluation, node: ast.While) -> None:
    def test() -> Abstract:
        outer, ev.node = ev.node, node.test
        found = ev.evaluate(node.test)
        ev.node = outer
        return found

    ev.attempt(
        lambda: _strict_loop(ev, node, CountedHead(None, lambda index: None, test)),
        lambda: _unroll_while(ev, node, test),
        lambda: _loop(ev, node, CountedHead(None, lambda index: None, test)),
    )


def _unroll_while(ev: Evaluation, node: ast.While, test: Callable[[], Abstract]) -> None:
    """Evaluates a loop whose condition is known before each iteration."""
    with _exits(ev):
        for _ in range(UNROLLED):
            goes = truths.known_truth(ev, test())
            if goes is None:
                raise ev.error(
                    "the condition of a loop depends on inputs, and its body on what is known"
                )
            if not goes:
                break
            block(ev, node.body)
            ev.frame.env["$left"] = FALSE
            on = value_of(ev, "$goes", TRUE)
            if is_constant(on, False):
                break
            if not is_constant(on, True):
                raise ev.error(
                    "a loop is left on a condition, and its body depends on what is known"
                )
        else:
            raise ev.error(f"a loop has more than {UNROLLED} iterations")
    _otherwise(ev, node)
