"""Context managers: which of them may suppress exceptions, so that a `with` ends early."""

import ast
import contextlib
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from runner.errors import GraphError
from runner.graph.class_source.scopes import is_foreign
from runner.graph.frontend.python.abstract import Abstract, Known
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.python.source import Unreadable
from runner.graph.ir.node import Argument, Value
from runner.graph.ir.signature import locate

_SUPPRESSING = (contextlib.suppress, contextlib.ExitStack)


def check_manager(ev: Evaluation, manager: Abstract) -> None:
    """Raises Unreadable if a context manager may suppress exceptions, as far as is known."""
    if isinstance(manager, Value):
        makers = [*_makers(manager)]
    elif type(manager) is Known:
        makers = [getattr(manager.thing, "func", type(manager.thing))]  # of `contextmanager`
    else:
        makers = []
    for maker in makers:
        if _may_suppress(ev, maker):
            raise ev.error(f"{maker.__name__} may suppress exceptions, and end a `with` early")


def _makers(value: Argument) -> Iterator[Any]:
    """Yields the classes or functions that may have made a value."""
    node = value.node if isinstance(value, Value) else None
    if node is None:
        return
    if node.op == "if":
        for block in node.blocks:
            yield from _makers(block.results[node.outputs.index(value)])
    elif node.op == "call_function" and node.target[0] != ":":
        with contextlib.suppress(GraphError):
            yield locate(node.target)


def _may_suppress(ev: Evaluation, maker: Any) -> bool:
    if not isinstance(maker, type):
        made = getattr(maker, "__wrapped__", maker)
        return _is_read(made) and any(map(_catches, _nodes(ev, made)))
    if issubclass(maker, _SUPPRESSING):
        return True
    leaves = getattr(maker, "__exit__", None)
    return _is_read(leaves) and any(map(_returns_something, _nodes(ev, leaves)))


def _is_read(function: Any) -> bool:
    return isinstance(function, FunctionType) and is_foreign(function.__module__)


def _nodes(ev: Evaluation, function: Any) -> Iterator[ast.AST]:
    with contextlib.suppress(Unreadable):
        for statement in ev.around.definition(function).body:
            yield from ast.walk(statement)


def _returns_something(node: ast.AST) -> bool:
    return isinstance(node, ast.Return) and not (
        node.value is None
        or (isinstance(node.value, ast.Constant) and not node.value.value)
    )  # fmt: skip


def _catches(node: ast.AST) -> bool:
    """Returns whether a node of a generator catches what is raised where it yields."""
    return (
        isinstance(node, ast.Try)
        and any(isinstance(n, ast.Yield) for each in node.body for n in ast.walk(each))
        and not all(isinstance(handler.body[-1], ast.Raise) for handler in node.handlers)
    )
