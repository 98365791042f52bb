"""Runs torch's code on meta tensors without the import of its compiler, and of symbolic algebra.

Functions that torch's compiler must not compile import `torch._dynamo` on their first call
(`torch/_compile.py`), among them most that compute the shapes of meta tensors; these also ask sympy
whether a number is a symbol. That takes as long as the import of torch itself, and does nothing
where nothing is compiled and sizes are numbers.
"""

import importlib
import operator
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import reduce
from types import ModuleType
from typing import Any, TypeVar, final

COMPILER = "torch._dynamo"
CACHE = "__dynamo_disable"  # where `torch/_compile.py` keeps the function that it calls
SYMBOLS = "sympy"
SYMBOLIC_SHAPES = "torch.fx.experimental.symbolic_shapes"
PACKAGES = (COMPILER, SYMBOLS)  # whose `__path__` is read by the import of a module in them
WhatRunReturns = TypeVar("WhatRunReturns")


def without_compiler(run: Callable[[], WhatRunReturns]) -> WhatRunReturns:
    """Returns the result of a call, during which neither the compiler nor sympy is imported if all
    that is wanted of them is not to compile something, and to find that a number is no symbol;
    otherwise imports what is wanted, and calls again.

    The call must have no effects, and compile nothing of torch's afterwards.
    """
    stand_ins = [StandIn(name) for name in ANSWERS if name not in sys.modules]
    if not stand_ins:
        return run()
    sys.modules.update({each.__name__: each for each in stand_ins})
    try:
        result = run()
    except Exception:
        if not any(each.is_wanted for each in stand_ins):
            raise
    finally:
        for each in stand_ins:
            each.leave()
    wanted = [each.__name__ for each in stand_ins if each.is_wanted]
    if not wanted:
        return result
    for name in wanted:
        importlib.import_module(name)
    return without_compiler(run)


@final
class StandIn(ModuleType):
    """Stands for a module while nothing of it is needed but the answers below. Who keeps it, or
    one of its answers, for longer than that gets what the module itself has."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked: list[Callable[..., Any]] = []  # functions not to compile
        self.is_wanted = False  # whether somebody has asked for more than is here
        self.has_left = False

    def __getattr__(self, name: str) -> Any:
        is_package = self.__name__ in PACKAGES
        if name.startswith("__") and not (is_package and name == "__path__"):
            raise AttributeError(f"{self.__name__}.{name} is not imported")  # only looked at
        if not self.has_left and name in (known := ANSWERS[self.__name__]):
            return known[name](self)
        return self.real(name)

    def real(self, name: str) -> Any:
        """Returns an attribute of the module itself, once it may be imported."""
        if self.has_left:
            return getattr(importlib.import_module(self.__name__), name)
        self.is_wanted = True
        raise AttributeError(f"{self.__name__}.{name} is not imported")

    def leave(self) -> None:
        """Makes room for the module itself, as if nobody had asked for it."""
        self.has_left = True
        sys.modules.pop(self.__name__, None)
        for function in self.asked:
            if hasattr(function, CACHE):
                delattr(function, CACHE)


# The answers: each takes its stand-in and returns an attribute

Answer = Callable[[StandIn], Any]


def _disable(module: StandIn) -> Any:
    def disable(function: Callable[..., Any], recursive: bool = True, **given: Any) -> Any:
        """Returns the function itself, which nothing compiles."""
        if module.has_left:
            return module.real("disable")(function, recursive, **given)
        module.asked.append(function)
        return function

    return disable


def _graph_break(module: StandIn) -> Any:
    return lambda *given: module.real("graph_break")(*given) if module.has_left else None


def _class(name: str) -> Answer:
    """Returns the answer for a class that has no instances unless its module is imported."""

    def answer(module: StandIn) -> Any:
        class Instances(type):
            def __instancecheck__(cls, thing: object) -> bool:
                return SYMBOLS in sys.modules and module.has_left and isinstance(thing, real())

        def real() -> type:
            return module.real(name)  # type: ignore[no-any-return]

        def refuse(cls: type, **given: Any) -> None:
            real()
            raise TypeError(f"{module.__name__}.{name} was not imported yet")

        return Instances(name, (), {"__init_subclass__": refuse})

    return answer


def _function(name: str, kinds: tuple[type, ...], compute: Callable[..., Any]) -> Answer:
    """Returns the answer for a function of values that may be symbols, but are of these types."""

    def answer(module: StandIn) -> Any:
        def function(*values: Any, **given: Any) -> Any:
            if not (module.has_left or given) and all(_is_plain(each, kinds) for each in values):
                with suppress(TypeError):  # values that do not belong together
                    return compute(*values)
            return module.real(name)(*values, **given)

        return function

    return answer


def _is_plain(value: Any, kinds: tuple[type, ...]) -> bool:
    if type(value) in kinds and type(value) is not tuple:
        return True
    is_shape = tuple in kinds and isinstance(value, tuple | list)
    return is_shape and all(_is_plain(item, kinds) for item in value)


def _itself(value: Any) -> Any:
    return value


def _equal(one: Any, other: Any) -> bool:
    """Compares numbers, or shapes that may be tuples or lists. Raises TypeError for one of each."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    return len(one) == len(other) and all([*map(_equal, one, other)])


_FLAGS: Mapping[str, Callable[..., Any]] = {
    "expect_true": _itself,
    "guard_bool": _itself,
    "guard_or_false": _itself,
    "guard_or_true": _itself,
    "guard_size_oblivious": _itself,
    "statically_known_true": _itself,
    "sym_and": lambda *flags: reduce(operator.and_, flags),
    "sym_or": lambda *flags: reduce(operator.or_, flags),
}
_NUMBERS: Mapping[str, Callable[..., Any]] = {
    "guard_int": _itself,
    "guarding_hint_or_throw": _itself,
    "has_guarding_hint": lambda number: True,
    "is_nested_int": lambda number: False,
}
ANSWERS: Mapping[str, Mapping[str, Answer]] = {
    COMPILER: {"disable": _disable, "graph_break": _graph_break},
    SYMBOLS: {"Basic": _class("Basic")},
    SYMBOLIC_SHAPES: {
        **{name: _function(name, (bool,), compute) for name, compute in _FLAGS.items()},
        **{name: _function(name, (int,), compute) for name, compute in _NUMBERS.items()},
        "sym_eq": _function("sym_eq", (int, tuple), _equal),
    },
}
