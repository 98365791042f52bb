"""Tests of types that TorchScript folded although it could not know their outcome: those of
arguments of methods whose callers were not compiled, and of results of choices."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from runner.graph.frontend.torchscript.desugar.pure import root_of
from runner.graph.frontend.torchscript.source import FunctionSource
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Value

Methods = Mapping[str, Function]


def pruned_test(module: nn.Module, lowered: Methods, *, is_root: bool = False) -> str:
    """Returns why compiled code may be wrong for arguments of any type: TorchScript takes them to
    be of their annotated type, else Tensors, and folds tests of it. "" if the code is right.

    The root is called as its annotations say, and its tests that only raise may be folded.
    """
    for function in lowered.values():
        if line := _packs_argument(function):
            return f"{line}: it converts an argument that may be a list to a list"
    for _, source in _sources(module, lowered):
        known = _of_one_type(source.definition.args)
        free = {a.arg for a in known if not is_root or a.annotation is None}
        batch = {a.arg for a in source.definition.args.args[1:2] if is_root}  # never None
        for node in _without_checks(source.definition) if is_root else ast.walk(source.definition):
            subject = _subject(node)
            asked = free - batch if isinstance(node, ast.Compare) else free
            if isinstance(subject, ast.Name) and subject.id in asked:
                where = source.place(node)
                return f"{where}: it tests the type of an argument, which its caller decides"
    return ""


def pruned_result(module: nn.Module, lowered: Methods) -> str:
    """Returns why compiled code may be wrong if a choice returns a value of another type than
    TorchScript assumed: a test in the source was folded. "" if the code is right."""
    for function, source in _sources(module, lowered):
        kept = {n.line for n in function.nodes if n.target in _TESTS}
        for node in ast.walk(source.definition):
            subject = _subject(node)
            if subject is None or _is_own(source, subject) or source.place(node) in kept:
                continue
            return f"{source.place(node)}: it tests the type of the result of a choice"
    return ""


def _sources(module: nn.Module, lowered: Methods) -> Iterator[tuple[Function, FunctionSource]]:
    """Yields the methods that were lowered, each with its source."""
    for method, function in lowered.items():
        python: Any = getattr(type(module), method.partition("__")[0] or method, None)
        try:
            python = inspect.unwrap(python)
            lines, start = inspect.getsourcelines(python)
            definition = ast.parse(textwrap.dedent("".join(lines))).body[0]
        except (OSError, TypeError, SyntaxError):
            continue
        if isinstance(definition, ast.FunctionDef):
            file = inspect.getsourcefile(python) or ""
            yield function, FunctionSource(python, python, definition, file, start, module)


def _is_own(source: FunctionSource, subject: ast.expr) -> bool:
    """Returns whether an expression is an attribute of the module, or of one below it."""
    root = root_of(subject)
    return root is not subject and isinstance(root, ast.Name) and root.id == source.itself


def _packs_argument(function: Function) -> str:
    """Returns the line of a call with a list where the source, as TorchScript allows, passes a
    parameter without annotation; "" if there is none."""
    inputs = zip(function.parameters, function.inputs, strict=True)
    free = {value for parameter, value in inputs if not parameter.annotation}
    for node in function.nodes:
        for argument in (*node.args, *node.kwargs.values()):
            if node.op == "call_module" and type(argument) is list and free & _values(argument):
                return node.line or "?"
    return ""


def _values(argument: list[Argument]) -> set[Value]:
    return {item for item in argument if type(item) is Value}


def _without_checks(node: ast.AST) -> Iterator[ast.AST]:
    """Yields all nodes except those of assertions and of branches that only raise."""
    if isinstance(node, ast.If) and not node.orelse:
        if all(isinstance(statement, ast.Raise) for statement in node.body):
            return
    elif isinstance(node, ast.Assert):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _without_checks(child)


def _of_one_type(arguments: ast.arguments) -> Iterator[ast.arg]:
    """Yields the parameters that have just one type to TorchScript, which folds tests of it."""
    without = len(arguments.args) - len(arguments.defaults)
    defaults: list[ast.expr | None] = [*[None] * without, *arguments.defaults]
    pairs = [*zip(arguments.args, defaults, strict=True)][1:]
    for argument, default in [
        *pairs,
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]:
        text = "" if argument.annotation is None else ast.unparse(argument.annotation)
        optional = not text and isinstance(default, ast.Constant) and default.value is None
        if not optional and not re.search(r"\b(Optional|Union|None|Any)\b|\|", text):
            yield argument


def _subject(node: ast.AST) -> ast.expr | None:
    """Returns the expression whose type a node tests; None for other tests."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        return node.args[0] if name in ("isinstance", "is_tensor", "type") and node.args else None
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
        return node.left
    return None


_TESTS = frozenset({"operator:is_", "operator:is_not", "builtins:isinstance"})
