"""Calls in place: a function is evaluated where it is called, with what is known there."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from runner.graph.frontend.python.abstract import (
    NONE,
    Abstract,
    CallFrame,
    Closure,
    Items,
    Missing,
    Named,
    closure_of,
)
from runner.graph.frontend.python.branches import block
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.python.packages import is_standard
from runner.graph.frontend.python.source import FunctionDefinition, positional


def invoke(
    ev: Evaluation, closure: Closure, args: Sequence[Abstract], kwargs: Mapping[str, Abstract]
) -> Abstract:
    """Returns what a function returns, evaluated here."""
    node = closure.node
    if isinstance(node, ast.AsyncFunctionDef) or any(map(_yields, ast.iter_child_nodes(node))):
        raise ev.error("it calls a generator or coroutine")
    frame = CallFrame(closure, _bound(ev, closure, args, kwargs))
    with ev.calling(frame):
        ev.node = node
        block(ev, FunctionDefinition(node, closure.file).body)
        return returned(ev)


def invoke_living(
    ev: Evaluation, function: Any, args: Sequence[Abstract], kwargs: Mapping[str, Abstract]
) -> Abstract:
    """Returns what a living function returns, evaluated here."""
    if is_standard(function):
        code = function.__code__
        raise ev.error(
            f"it calls {code.co_name}() in Python's {function.__globals__['__name__']}, which has "
            "no form in a graph"
        )
    definition = ev.around.definition(function)
    return invoke(ev, closure_of(function, definition.node, definition.file), args, kwargs)


def returned(ev: Evaluation) -> Abstract:
    """Returns what the function of the current frame returns, when its statements are read."""
    value = ev.variable("$value") if "$value" in ev.frame.env else NONE
    if type(value) is Missing:
        raise ev.error(value.why)
    return value


def _yields(node: ast.AST) -> bool:
    if isinstance(node, ast.Yield | ast.YieldFrom | ast.Await):
        return True
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        return False
    return any(map(_yields, ast.iter_child_nodes(node)))


def _bound(
    ev: Evaluation, closure: Closure, args: Sequence[Abstract], kwargs: Mapping[str, Abstract]
) -> dict[str, Abstract]:
    """Returns the parameters of a function with their values."""
    declared = closure.node.args
    names = positional(closure.node)
    named = {**kwargs}
    env: dict[str, Abstract] = dict(zip(names, args, strict=False))
    rest = args[len(names) :]
    if "*" in named and declared.vararg is not None and len(args) == len(names):
        env[declared.vararg.arg] = ev.emit("call_function", "builtins:tuple", (named.pop("*"),))
    elif declared.vararg is not None and "*" not in named:
        env[declared.vararg.arg] = Items(tuple(rest))
    elif rest:
        raise ev.error(f"{_name(closure)}() is called with {len(args)} arguments")
    first = len(names) - len(closure.defaults)
    for at, name in enumerate(names):
        if name in named and name not in env and at >= len(declared.posonlyargs):
            env[name] = named.pop(name)
        if name not in env and at >= first:
            env[name] = closure.defaults[at - first]
    for each in declared.kwonlyargs:
        name = each.arg
        if name in named:
            env[name] = named.pop(name)
        elif name in closure.keyword_defaults:
            env[name] = closure.keyword_defaults[name]
    missing = [name for name in (*names, *(k.arg for k in declared.kwonlyargs)) if name not in env]
    if missing:
        raise ev.error(f"{_name(closure)}() is called without {missing[0]!r}")
    if declared.kwarg is not None and named.keys() == {"**"}:
        env[declared.kwarg.arg] = named.pop("**")
    elif declared.kwarg is not None and not {"*", "**"} & named.keys():
        env[declared.kwarg.arg] = made = Named()
        ev.dicts[made] = named
    elif {"*", "**"} & named.keys():
        raise ev.error(f"what {_name(closure)}() is called with is not known one by one")
    elif named:
        raise ev.error(f"{_name(closure)}() has no parameter {next(iter(named))!r}")
    return env


def _name(closure: Closure) -> str:
    return getattr(closure.node, "name", "lambda")
