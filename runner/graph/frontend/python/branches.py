"""Rules for blocks of statements, branches, and what leaves them early."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, final

from runner.graph.frontend.python import truth as truths
from runner.graph.frontend.python.abstract import (
    FALSE,
    NEVER,
    NONE,
    TRUE,
    Abstract,
    Known,
    Merged,
    Missing,
    is_constant,
)
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.ir.node import Block
from runner.nn.values.expression import Expression

Key = TypeVar("Key")
Content = TypeVar("Content")

# Blocks


def block(ev: Evaluation, statements: Sequence[ast.stmt]) -> None:
    """Reads statements up to one that leaves the block. After one that may leave it, the rest
    becomes a branch."""
    for at, statement in enumerate(statements):
        rest = statements[at + 1 :]
        if isinstance(statement, ast.If | ast.Match) and _branch(ev, statement, rest):
            return
        if not isinstance(statement, ast.If | ast.Match):
            ev.execute(statement)
        left = ev.variable("$left") if "$left" in ev.frame.env else FALSE
        if is_constant(left, True):
            return
        if not is_constant(left, False):
            if rest:
                choose(ev, left, lambda: None, partial(block, ev, rest))
            return


def leave(ev: Evaluation, **flags: Abstract) -> None:
    """Skips the rest of the block, and sets other variables of exits."""
    ev.frame.env["$left"] = TRUE
    ev.frame.env.update({f"${name}": value for name, value in flags.items()})


def value_of(ev: Evaluation, name: str, default: Abstract) -> Abstract:
    """Returns the value of a variable of exits."""
    return ev.variable(name) if name in ev.frame.env else default


@contextmanager
def inside(ev: Evaluation, block: Block) -> Iterator[None]:
    """Emits nodes into a block, with copies of what is known; on exit, all is as before."""
    env, lists, dicts = ev.frame.env, ev.lists, ev.dicts
    ev.frame.env, ev.lists, ev.dicts = {**env}, {**lists}, {**dicts}
    frame = ev.frame
    try:
        with ev.function.inserting_into(block):
            yield
    finally:
        frame.env, ev.lists, ev.dicts = env, lists, dicts


# Branches


@final
class _Ways:
    """The branches of one If: the state at the end of each."""

    def __init__(self, ev: Evaluation, condition: Abstract) -> None:
        self.ev = ev
        decided = ev.argument(condition)
        if type(condition) is Known and isinstance(condition.thing, Expression):
            decided = condition.thing  # which is resolved, together with the If
        self.node = ev.create("if", "", (decided,), outputs=())
        self.states: list[tuple[dict[str, Abstract], dict[Any, Any], dict[Any, Any]]] = []

    def add(self, run: Callable[[], None]) -> None:
        """Evaluates a branch into a new block."""
        block, ev = self.node.add_block(), self.ev
        with inside(ev, block):
            run()
            self.states.append((ev.frame.env, ev.lists, ev.dicts))

    def go_on(self, place: int, run: Callable[[], None]) -> None:
        """Evaluates more at the end of a branch."""
        ev = self.ev
        with inside(ev, self.node.blocks[place]):
            ev.frame.env, ev.lists, ev.dicts = self.states[place]
            run()
            self.states[place] = ev.frame.env, ev.lists, ev.dicts

    def is_left(self, place: int) -> bool:
        """Returns whether a branch certainly leaves the block that the If is in."""
        return is_constant(self.states[place][0].get("$left", FALSE), True)

    def merge(self) -> None:
        """Merges the states at the ends of the branches."""
        envs = [state[0] for state in self.states]
        raised = ["$raised" in env for env in envs]
        merged: dict[str, Abstract] = {}
        for name in dict.fromkeys(name for env in envs for name in env):
            values = tuple(
                NEVER if gone and not all(raised) else env.get(name, UNSET.get(name, Missing()))
                for env, gone in zip(envs, raised, strict=True)
            )
            merged[name] = Merged(self.node, values, name)
        if not all(raised):
            merged.pop("$raised", None)
        ev = self.ev
        ev.frame.env.clear()
        ev.frame.env.update(merged)
        for name in ("$left", "$goes", "$broken", "$return", "$raised"):
            if name in merged:
                ev.variable(name)
        ev.lists = _in_both(self.states[0][1], self.states[1][1], ev.lists)
        ev.dicts = _in_both(self.states[0][2], self.states[1][2], ev.dicts)
        for _, lists, dicts in self.states:
            for item in _lost(ev, lists, dicts):
                ev.forget(item)


def _in_both(
    one: Mapping[Key, Content], other: Mapping[Key, Content], before: Mapping[Key, Content]
) -> dict[Key, Content]:
    """Returns what was known before an If and is the same after both of its branches."""
    return {key: v for key, v in one.items() if key in before and other.get(key) is v}


def _lost(ev: Evaluation, lists: Mapping[Any, Any], dicts: Mapping[Any, Any]) -> Iterator[Abstract]:
    """Yields the items of lists and dicts whose content is not known any more."""
    for key in lists.keys() - ev.lists.keys():
        yield from lists[key]
    for key in dicts.keys() - ev.dicts.keys():
        yield from dicts[key].values()


UNSET: dict[str, Abstract] = {
    "$left": FALSE, "$goes": TRUE, "$broken": FALSE, "$return": FALSE, "$value": NONE,
}  # fmt: skip


def choose(
    ev: Evaluation, condition: Abstract, then: Callable[[], None], other: Callable[[], None]
) -> None:
    """Evaluates one of two ways, or both as the branches of an If."""
    known = truths.known_truth(ev, condition)
    if known is not None:
        (then if known else other)()
        return
    ways = _Ways(ev, condition)
    ways.add(then)
    ways.add(other)
    ways.merge()


def choose_value(
    ev: Evaluation,
    condition: Abstract,
    then: Callable[[], Abstract],
    other: Callable[[], Abstract],
) -> Abstract:
    """Returns the value of one of two expressions, of which only one is evaluated."""

    def keep(make: Callable[[], Abstract]) -> None:
        ev.frame.env["$chosen"] = make()

    choose(ev, condition, lambda: keep(then), lambda: keep(other))
    found = ev.resolved(ev.frame.env.pop("$chosen"))
    if type(found) is Missing:
        raise ev.error(found.why)
    return found


def _branch(ev: Evaluation, statement: ast.If | ast.Match, rest: Sequence[ast.stmt]) -> bool:
    """Reads an `if` or a `match`. If exactly one of its branches leaves the block, the rest of the
    block goes into the other one; returns whether that was so."""
    if isinstance(statement, ast.Match):
        statement = truths.as_branches(ev, statement)
    ev.node = statement
    condition = ev.evaluate(statement.test)
    known = truths.known_truth(ev, condition)
    if known is not None:
        block(ev, [*(statement.body if known else statement.orelse), *rest])
        return True
    ways = _Ways(ev, condition)
    ways.add(lambda: block(ev, statement.body))
    ways.add(lambda: block(ev, statement.orelse))
    goes_on = [place for place in (0, 1) if not ways.is_left(place)]
    alone = len(goes_on) == 1 and not _may_leave(ways.states[goes_on[0]][0])
    raises = ["$raised" in env for env, *_ in ways.states]
    if alone and rest and not any(raises):
        ways.go_on(goes_on[0], lambda: block(ev, rest))
    ways.merge()
    if any(raises) and alone:
        ev.frame.env.pop("$left", None)
    return (alone and not any(raises)) or not goes_on


def _may_leave(env: dict[str, Abstract]) -> bool:
    return not is_constant(env.get("$left", FALSE), False)


# Exits


@reads(ast.Return)
def _return(ev: Evaluation, node: ast.Return) -> None:
    value = NONE if node.value is None else ev.evaluate(node.value)
    leave(ev, value=value, goes=FALSE, **{"return": TRUE})


@reads(ast.Break)
def _break(ev: Evaluation, node: ast.Break) -> None:
    leave(ev, goes=FALSE, broken=TRUE)


@reads(ast.Continue)
def _continue(ev: Evaluation, node: ast.Continue) -> None:
    leave(ev)


@reads(ast.Assert)
def _assert(ev: Evaluation, node: ast.Assert) -> None:
    condition = ev.evaluate(node.test)
    require(ev, condition, lambda: [] if node.msg is None else [ev.evaluate(node.msg)])


def require(
    ev: Evaluation,
    condition: Abstract,
    text: Callable[[], Sequence[Abstract]],
    error: str = "AssertionError",
) -> None:
    """Raises an error with a text unless a condition is met."""

    def fail() -> None:
        given = [ev.argument(value) for value in text()]
        ev.create("raise", f"builtins:{error}", given, outputs=())
        leave(ev, raised=TRUE)

    choose(ev, truths.negated(ev, condition), fail, lambda: None)
