"""Effects of calls, as far as the source tells."""

import ast
import builtins
import math
from typing import Any

import torch

from runner.graph.frontend.torchscript.desugar.pure import root_of
from runner.graph.frontend.torchscript.source import UNKNOWN, FunctionSource
from runner.operators import (
    CHANGES_CONTAINER,
    Facts,
    acts,
    function_facts,
    gives_unsaid_view,
    is_random,
    method_facts,
    writes_lists,
)

_NAMESPACES = {"torch": torch, "torch.nn.functional": torch.nn.functional, "math": math}


def may_have_effect(source: FunctionSource, node: ast.AST) -> bool:
    """Returns whether evaluating an expression may have an effect. Drawing random numbers does not
    count: TorchScript drops unused operators that do."""
    return any(
        isinstance(inner, ast.Call) and _has_effect(source, inner) for inner in ast.walk(node)
    )


def facts_of(source: FunctionSource, call: ast.Call) -> Facts | None:
    """Returns the facts about an operator of torch that is called; None for any other call."""
    function = source.value_of(call.func)
    if function is not UNKNOWN:
        target = _target(function)
        return function_facts(target) if target else None
    if not isinstance(call.func, ast.Attribute) or _is_own(source, call.func):
        return None
    found = method_facts(call.func.attr)
    return found if found.is_known else None


def is_undeclared_view(source: FunctionSource, call: ast.Call) -> bool:
    """Returns whether a call is of an operator that may return a view without declaring it."""
    name = _operator(source, call)
    return bool(name) and gives_unsaid_view(name)


def draws(source: FunctionSource, call: ast.Call) -> bool:
    """Returns whether a call is of an operator that draws random numbers."""
    name = _operator(source, call)
    return bool(name) and is_random(name)


def changes_lists(source: FunctionSource, call: ast.Call) -> bool:
    """Returns whether a call is of an operator that changes the tensors of a list."""
    name = _operator(source, call)
    return bool(name) and writes_lists(name)


def _operator(source: FunctionSource, call: ast.Call) -> str:
    """Returns the name of the operator or method that is called; "" for another function."""
    function = source.value_of(call.func)
    if function is not UNKNOWN:
        return _target(function).rpartition(":")[2]
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def writes(call: ast.Call, facts: Facts) -> bool:
    """Returns whether an operator with these facts changes an argument of the call."""
    given = {keyword.arg for keyword in call.keywords}
    spread = None in given or any(isinstance(item, ast.Starred) for item in call.args)
    named = any(isinstance(key, str) and (key in given or spread) for key in facts.writes)
    return named or facts.always_writes or bool(facts.switches)


def _has_effect(source: FunctionSource, call: ast.Call) -> bool:
    function = source.value_of(call.func)
    name = getattr(function, "__name__", "")
    if isinstance(function, type):
        return False
    if getattr(builtins, name, None) is function:
        return acts(f"builtins:{name}")
    if isinstance(call.func, ast.Attribute) and call.func.attr in CHANGES_CONTAINER:
        return True
    found = facts_of(source, call)
    return found is None or writes(call, found)


def _is_own(source: FunctionSource, node: ast.expr) -> bool:
    """Returns whether a method is one of the module, or of an attribute of it."""
    root = root_of(node, subscripts=True)
    return isinstance(root, ast.Name) and root.id == source.itself


def _target(function: Any) -> str:
    """Returns the target of a function of torch or math, "module:name"; "" for another function."""
    name = getattr(function, "__name__", "")
    for module, namespace in _NAMESPACES.items():
        if getattr(namespace, name, None) is function:
            return f"{module}:{name}"
    return ""
