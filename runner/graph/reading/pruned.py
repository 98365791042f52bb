"""Whether TorchScript left out a test of a type that only a caller it did not read can decide."""

import ast
import inspect
import re
import textwrap
from typing import Any

from torch import nn

from runner.graph.node import Argument, Function, Value
from runner.graph.reading.torchscript import Type


def pruned_test(module: nn.Module, found: Type) -> str:
    """Why what TorchScript read may be wrong when nobody checks the types of the arguments: it
    took one to be of its annotated type, else a Tensor, and left out a test of it. "" if not."""
    for method, function in found.functions.items():
        if line := _packs_argument(function):
            return f"{line}: it makes a list of an argument, which may be one already"
        python: Any = getattr(type(module), method.partition("__")[0] or method, None)
        try:
            lines, start = inspect.getsourcelines(inspect.unwrap(python))
            tree = ast.parse(textwrap.dedent("".join(lines)))
        except (OSError, TypeError, SyntaxError):
            continue
        definition = tree.body[0]
        if not isinstance(definition, ast.FunctionDef):
            continue
        free = {a.arg for a in definition.args.args[1:] if _is_of_one_type(a)}
        for node in ast.walk(definition):
            if free & _tested(node):
                file = (inspect.getsourcefile(inspect.unwrap(python)) or "").rpartition("/")[2]
                line = start + node.lineno - 1  # type: ignore[attr-defined]
                return f"{file}:{line}: it tests the type of an argument, which its caller decides"
    return ""


def _packs_argument(function: Function) -> str:
    """The line of a call that is given a list where the source, as TorchScript allows, has just a
    parameter without annotation; "" for none."""
    inputs = zip(function.parameters, function.inputs, strict=True)
    free = {value for parameter, value in inputs if not parameter.annotation}
    for node in function.nodes:
        for argument in (*node.args, *node.kwargs.values()):
            if node.op == "call_module" and type(argument) is list and free & _values(argument):
                return node.line or "?"
    return ""


def _values(argument: list[Argument]) -> set[Value]:
    return {item for item in argument if type(item) is Value}


def _is_of_one_type(argument: ast.arg) -> bool:
    """Whether TorchScript takes an argument to be of just one type, so that a test is no test."""
    text = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return not re.search(r"\b(Optional|Union|None|Any)\b", text)


def _tested(node: ast.AST) -> set[str]:
    """Names whose type a piece of source tests."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if name in ("isinstance", "is_tensor", "type") and node.args:
            return {node.args[0].id} if isinstance(node.args[0], ast.Name) else set()
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
        return {node.left.id} if isinstance(node.left, ast.Name) else set()
    return set()
