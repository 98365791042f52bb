"""Functions that wrap others, and take any arguments to pass them on as they are.

Such a function has the parameters of the one that it wraps. Whether a caller passes an argument by
position or by name is not known then, so that it may do nothing else with its arguments.
"""

import ast
import copy
from types import FunctionType
from typing import Any, final

from runner.graph.frontend.python.source import FunctionNode, FunctionSources, positional

ARGS, KWARGS, ITSELF = "$args", "$kwargs", "$itself"  # variables, in place of its own


def unwrapped(function: FunctionType, sources: FunctionSources, *, method: bool) -> FunctionType:
    """Returns the function whose parameters a function takes: the one that it wraps if it takes
    any arguments, else itself."""
    wrapped = _wrapped(function)
    if wrapped is None or not _takes_any(function, wrapped, sources, method=method):
        return function
    inner = unwrapped(wrapped, sources, method=method)
    if inner is not wrapped:
        node = passing_on(wrapped, sources.definition(wrapped).node, method=method)
        stars = {*rest_of(node)}
        if any(isinstance(n, ast.Name) and n.id in stars for n in ast.walk(node)):
            return wrapped
    return inner


def rest_of(node: FunctionNode) -> list[str]:
    """Returns the names of the parameters for any arguments."""
    return [star.arg for star in (node.args.vararg, node.args.kwarg) if star is not None]


def passing_on(function: FunctionType, node: FunctionNode, *, method: bool) -> FunctionNode:
    """Returns the definition of a wrapper in which the arguments that it passes on as they are have
    other names, and so does the module whose method it is."""
    made: FunctionNode = _PassingOn(function, node, method=method).visit(copy.deepcopy(node))
    return made


def _wrapped(function: FunctionType) -> FunctionType | None:
    wrapped = getattr(function, "__wrapped__", None)
    return wrapped if isinstance(wrapped, FunctionType) else None


def _takes_any(
    function: FunctionType, wrapped: FunctionType, sources: FunctionSources, *, method: bool
) -> bool:
    """Returns whether a wrapper takes any arguments, after some that the wrapped function has."""
    own, inner = sources.definition(function).node, sources.definition(wrapped).node
    if len(rest_of(own)) < 2 or own.args.kwonlyargs or function.__defaults__:
        return False
    names, others = positional(own)[int(method) :], positional(inner)
    required = others[: len(others) - len(wrapped.__defaults__ or ())][int(method) :]
    return names == required[: len(names)]


@final
class _PassingOn(ast.NodeTransformer):
    """Gives the arguments that a wrapper passes on as they are other names."""

    def __init__(self, function: FunctionType, node: FunctionNode, *, method: bool) -> None:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        wrapped = _wrapped(function)
        self._callees = {name for name, cell in cells if _content(cell) is wrapped}
        self._args, self._kwargs = rest_of(node)
        self._count = len(positional(node))
        self._has_itself = method and not self._count

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(
                ast.Name(callee),
                [*_, ast.Starred(ast.Name(args))],
                [ast.keyword(None, ast.Name(kwargs))],
            ) if (  # fmt: skip
                (args, kwargs) == (self._args, self._kwargs)
                and callee in self._callees
                and len(node.args) == self._count + 1
            ):
                rest: Any = node.args[-1]
                rest.value.id = ARGS
                node.keywords[0].value = ast.copy_location(ast.Name(KWARGS, ast.Load()), node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Subscript(ast.Name(args), ast.Constant(0), ast.Load()) if (
                self._has_itself and args == self._args
            ):
                return ast.copy_location(ast.Name(ITSELF, ast.Load()), node)
        return node


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None
