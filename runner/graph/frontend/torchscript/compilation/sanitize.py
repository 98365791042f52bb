"""Sanitizes modules for TorchScript: replaces symbolic values, removes hooks, restores them."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import nn

from runner.errors import GraphError
from runner.nn.recording.construction_record import KEY
from runner.nn.values.expression import Expression, is_symbolic, replace_symbolic
from runner.space.choice import Choice

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def sanitize(module: nn.Module, restore: ExitStack, *, opaque: bool) -> None:
    """Replaces symbolic values of a module and removes its hooks, until `restore` is closed."""
    own = module.__dict__
    before = {**own}
    changed = own.pop(KEY, None) is not None
    for name, value in before.items():
        if is_symbolic(value):
            if not opaque:
                _check_symbolic(module, name, value)
            own[name], changed = replace_symbolic(value, lambda e: e.default), True
    for name in _HOOKS:
        if own[name]:
            own[name], changed = OrderedDict(), True
    overloads = own.get("__overloads__")
    restore.callback(_put_back, own, before if changed else None, overloads)


def _check_symbolic(module: nn.Module, name: str, value: Any) -> None:
    """Raises GraphError for a symbolic attribute whose value affects the compiled code."""
    cls = type(module)
    final = torch._jit_internal.is_final(getattr(cls, "__annotations__", {}).get(name))
    if final or name in getattr(cls, "__constants__", ()):
        raise GraphError(
            f"{cls.__qualname__}.{name} is {value!r}, a symbolic choice, but a constant to "
            f"TorchScript. Remove {name!r} from __constants__, or remove its Final."
        )
    for expression in _symbolic_values(value):
        kinds = {type(expression.resolve(answers)) for answers in _each_answer(expression)}
        if len(kinds) > 1:
            names = " and ".join(sorted(kind.__name__ for kind in kinds))
            raise GraphError(
                f"{cls.__qualname__}.{name} is {expression!r}, a symbolic choice, whose value may "
                f"be {names}. Values that forward reads must have one type."
            )


def _symbolic_values(value: Any) -> list[Expression]:
    """Returns the symbolic expressions in a value."""
    found: list[Expression] = []
    replace_symbolic(value, found.append)
    return found


def _each_answer(expression: Expression) -> Iterator[Callable[[Choice], Any]]:
    """Yields, for each candidate of each choice, the default answers except for this one."""
    yield lambda choice: choice.default
    for asked in expression.choices:
        for answer in getattr(asked, "candidates", ()):
            yield partial(_answer_to, asked, answer)


def _answer_to(asked: Choice, answer: Any, choice: Choice) -> Any:
    return answer if choice == asked else choice.default


def _put_back(own: dict[str, Any], before: dict[str, Any] | None, overloads: Any) -> None:
    """Restores the attributes of a module in their order."""
    if before is not None:
        own.clear()
        own.update(before)
    if overloads is None:
        own.pop("__overloads__", None)
