"""Methods that end in one way for TorchScript and in another for Python, as torchvision's do:

if torch.jit.is_scripting():
    return losses, detections
else:
    return self.eager_outputs(losses, detections)  # which TorchScript is told not to read
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from torch import nn
from torch._jit_internal import FunctionModifiers

from runner.errors import GraphError

_UNREAD = (FunctionModifiers.UNUSED, FunctionModifiers.IGNORE)


@final
@dataclass(frozen=True)
class End:
    """The end of a method in Python: a call of another one, with what TorchScript would return."""

    method: Any
    lines: range  # of the source, which only TorchScript runs


def eager_end(cls: type[nn.Module], method: str) -> End | None:
    """How a method ends in Python; None if that is how it ends for TorchScript.

    Raises GraphError where the two give different things to return.
    """
    python: Any = inspect.unwrap(getattr(cls, method, len))
    if "is_scripting" not in getattr(getattr(python, "__code__", None), "co_names", ()):
        return None
    try:
        lines, start = inspect.getsourcelines(python)
    except OSError:
        return None
    tree = ast.parse(textwrap.dedent("".join(lines)))
    for scripted, eager in _branches(tree):
        found = _returned(eager)
        call = found.value if found else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        other = getattr(cls, call.func.attr, None)
        if getattr(other, "_torchscript_modifier", None) not in _UNREAD:
            continue
        last = _returned(scripted)
        if last is None or [*map(ast.dump, call.args)] != [*map(ast.dump, _items(last))]:
            raise GraphError(f"{method} returns something else to TorchScript than in Python")
        return End(other, range(start + scripted[0].lineno - 1, start + last.lineno - 1))
    return None


def _branches(tree: ast.AST) -> Iterator[tuple[list[ast.stmt], list[ast.stmt]]]:
    """What TorchScript runs, and what Python runs instead."""
    for node in ast.walk(tree):
        found = getattr(node, "body", None)
        body = found if isinstance(found, list) else []
        for place, one in enumerate(body):
            if isinstance(one, ast.If) and ast.unparse(one.test) == "torch.jit.is_scripting()":
                yield one.body, one.orelse or body[place + 1 :]


def _returned(body: list[ast.stmt]) -> ast.Return | None:
    return body[-1] if body and isinstance(body[-1], ast.Return) else None


def _items(returned: ast.Return) -> list[ast.expr]:
    """The parts of a tuple that is returned, or the arguments of a call that makes one."""
    value = returned.value
    if isinstance(value, ast.Call):
        return value.args
    return value.elts if isinstance(value, ast.Tuple) else []
