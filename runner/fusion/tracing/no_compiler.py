"""Runs torch's code on meta tensors without the import of its compiler.

Functions that torch's compiler must not compile import `torch._dynamo` on their first call
(`torch/_compile.py`), among them most that compute the shapes of meta tensors. That takes as long
as the import of torch itself, and does nothing where nothing is compiled.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

COMPILER = "torch._dynamo"
CACHE = "__dynamo_disable"  # where `torch/_compile.py` keeps the function that it calls
WhatRunReturns = TypeVar("WhatRunReturns")


def without_compiler(run: Callable[[], WhatRunReturns]) -> WhatRunReturns:
    """Returns the result of a call, during which the compiler is not imported if all that is wanted
    of it is not to compile something; otherwise imports it, and calls again.

    The call must have no effects, and compile nothing of torch's afterwards.
    """
    if COMPILER in sys.modules:
        return run()
    stand_in = Idle(COMPILER)
    sys.modules[COMPILER] = stand_in
    try:
        result = run()
    except Exception:
        if not stand_in.is_wanted:
            raise
    finally:
        stand_in.leave()
    if stand_in.is_wanted:
        import torch._dynamo  # noqa: F401 - here: that is what this file is about

        return run()
    return result


class Idle(ModuleType):
    """Stands for the compiler while nothing is compiled."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked: list[Callable[..., Any]] = []
        self.is_wanted = False  # whether somebody has asked for more than is here

    def disable(
        self, function: Callable[..., Any], recursive: bool = True, **given: Any
    ) -> Callable[..., Any]:
        """Returns the function itself, which nothing compiles."""
        self.asked.append(function)
        return function

    def graph_break(self, *given: Any) -> None:
        return

    def __getattr__(self, name: str) -> Any:
        if name == "__path__" or not name.startswith("__"):  # else it is only looked at
            self.__dict__["is_wanted"] = True
        raise AttributeError(f"{COMPILER}.{name} is not imported")

    def leave(self) -> None:
        """Makes room for the compiler itself, as if nobody had asked for it."""
        sys.modules.pop(COMPILER, None)
        for function in self.asked:
            if hasattr(function, CACHE):
                delattr(function, CACHE)
