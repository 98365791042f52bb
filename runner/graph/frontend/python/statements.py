"""Rules for statements other than assignments, branches and loops."""

import ast
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.graph.frontend.python.abstract import (
    FALSE,
    TRUE,
    Abstract,
    Closure,
    Known,
    Merged,
    Missing,
    is_constant,
    is_static,
    thing_of,
)
from runner.graph.frontend.python.assignments import assign
from runner.graph.frontend.python.attributes import look_up
from runner.graph.frontend.python.branches import block, inside, leave, value_of
from runner.graph.frontend.python.calls import arguments_of, target_of
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.frontend.python.known_functions import unchanged
from runner.graph.frontend.python.managers import check_manager
from runner.graph.ir.node import Node
from runner.nn.values.expression import is_symbolic


@reads(ast.Pass)
def _pass(ev: Evaluation, node: ast.Pass) -> None:
    pass


@reads(ast.Import)
def _import(ev: Evaluation, node: ast.Import) -> None:
    for alias in node.names:
        module = _imported(ev, alias.name)
        if alias.asname is None:
            first = alias.name.partition(".")[0]
            ev.assign(first, Known(_imported(ev, first)))
        else:
            ev.assign(alias.asname, Known(module))


@reads(ast.ImportFrom)
def _import_from(ev: Evaluation, node: ast.ImportFrom) -> None:
    package = look_up(ev, "__package__")
    home = package.thing if type(package) is Known else None
    name = "." * node.level + (node.module or "")
    module = _imported(ev, name, home)
    for alias in node.names:
        if alias.name == "*":
            raise ev.error("`import *` inside a function")
        found = getattr(module, alias.name, None) or _imported(ev, f"{name}.{alias.name}", home)
        ev.assign(alias.asname or alias.name, Known(found))


def _imported(ev: Evaluation, name: str, home: str | None = None) -> Any:
    return ev.evaluated(importlib.import_module, name, home)


# Functions


@reads(ast.FunctionDef)
def _function(ev: Evaluation, node: ast.FunctionDef) -> None:
    made: Abstract = _closure(ev, node)
    for decorator in reversed(node.decorator_list):
        value = ev.evaluate(decorator)
        if not is_constant(value, unchanged):
            made = ev.around.call(ev, value, [made], {})
    ev.assign(node.name, made)


@reads(ast.Lambda)
def _lambda(ev: Evaluation, node: ast.Lambda) -> Abstract:
    return _closure(ev, node)


def _closure(ev: Evaluation, node: ast.FunctionDef | ast.Lambda) -> Closure:
    given = node.args
    defaults = tuple(ev.evaluate(default) for default in given.defaults)
    named = {
        each.arg: ev.evaluate(default)
        for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if default is not None
    }
    return Closure(node, ev.frame.closure.file, defaults, named, frame=ev.frame)


# Errors


@reads(ast.Raise)
def _raise(ev: Evaluation, node: ast.Raise) -> None:
    if node.exc is None:
        raise ev.error("`raise` without an exception has no form in a graph")
    target, args, kwargs = _raised(ev, node.exc)
    given = [ev.argument(arg) for arg in args]
    ev.create("raise", target, given, {k: ev.argument(v) for k, v in kwargs.items()}, outputs=())
    leave(ev, raised=TRUE)


def _raised(
    ev: Evaluation, node: ast.expr
) -> tuple[str, Sequence[Abstract], Mapping[str, Abstract]]:
    """Returns the class of an exception that is raised, and the arguments of its constructor."""
    args: Sequence[Abstract] = ()
    kwargs: Mapping[str, Abstract] = {}
    if isinstance(node, ast.Call):
        cls = ev.evaluate(node.func)
        args, kwargs = arguments_of(ev, node)
    else:
        cls = ev.evaluate(node)
    thing = thing_of(cls) if is_static(cls) else None
    if not isinstance(thing, type) or not issubclass(thing, BaseException):
        raise ev.error("it raises something other than a new exception")
    return target_of(ev, thing), args, kwargs


@reads(ast.Try)
def _try(ev: Evaluation, node: ast.Try) -> None:
    """Reads a `try` whose body is evaluated now, so that nothing in it can fail later."""
    before, env = [*ev.function.block.walk()], {**ev.frame.env}
    block(ev, node.body)
    made = [value for name, value in ev.frame.env.items() if env.get(name) is not value]
    may_fail = any(type(value) is Known and is_symbolic(value.thing) for value in made)
    if [*ev.function.block.walk()] != before or node.finalbody or may_fail:
        raise ev.error("`try` has no form in a graph")
    if not is_constant(value_of(ev, "$left", FALSE), True):
        block(ev, node.orelse)


# With


@reads(ast.With)
def _with(ev: Evaluation, node: ast.With) -> None:
    _enter(ev, node.items, node.body)


def _enter(ev: Evaluation, items: Sequence[ast.withitem], body: Sequence[ast.stmt]) -> None:
    if not items:
        block(ev, body)
        return
    first, *others = items
    manager = ev.evaluate(first.context_expr)
    check_manager(ev, manager)

    def run() -> None:
        if first.optional_vars is not None:
            assign(ev, first.optional_vars, Missing("what a `with` returns is used"))
        _enter(ev, others, body)

    within(ev, manager, run)


def _take_out(ev: Evaluation, node: Node) -> None:
    """Replaces what lists and dicts got inside a node by its outputs."""

    def outside(value: Abstract) -> Abstract:
        return ev.resolved(Merged(node, (value,), "$item"))

    ev.lists = {made: tuple(map(outside, items)) for made, items in ev.lists.items()}
    ev.dicts = {
        made: {key: outside(value) for key, value in pairs.items()}
        for made, pairs in ev.dicts.items()
    }


def within(ev: Evaluation, manager: Abstract, run: Callable[[], None]) -> None:
    """Evaluates statements inside a `with`."""
    node = ev.create("with", "", (ev.argument(manager),), outputs=())
    body = node.add_block()
    env = ev.frame.env
    with inside(ev, body):
        run()
        after, lists, dicts = ev.frame.env, ev.lists, ev.dicts
    for name, value in after.items():
        if env.get(name) is not value:
            env[name] = Merged(node, (value,), name)
    ev.lists = {made: items for made, items in lists.items() if made in ev.lists}
    ev.dicts = {made: pairs for made, pairs in dicts.items() if made in ev.dicts}
    _take_out(ev, node)
    for name in ("$left", "$goes", "$broken", "$return"):
        if name in env:
            ev.variable(name)
