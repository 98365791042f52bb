"""Isolates TorchScript's global state: earlier compilations are invisible while a model is
compiled, and this one leaves no trace.

TorchScript keeps compiled functions, classes and overloads, and which classes can be compiled, for
the whole process. Each conversion has a compilation unit of its own, so that names and types are
those of one model.
"""

import functools
import inspect
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, final

import torch
from torch import _jit_internal
from torch.jit import _recursive, _script, _state

internal: Any = _jit_internal  # none of these has types
recursive: Any = _recursive
script: Any = _script
state: Any = _state


@final
class CompiledFunctions:
    """The functions compiled in one conversion, by their qualified names."""

    def __init__(self) -> None:
        self.unit: Any = torch._C.CompilationUnit()
        self.before: Any = state._python_cu
        self._python: dict[str, Any] = {}  # by qualified name

    def install(self, restore: ExitStack) -> None:
        """Makes TorchScript compile into this unit until `restore` is closed."""
        overloads = {name: [*found] for name, found in internal._overloaded_fns.items()}
        for owner, name, value in (
            (state, "_python_cu", self.unit),
            (recursive, "_python_cu", self.unit),
            (state, "_script_classes", {}),
            (state, "_name_to_pyclass", {}),
            (state, "_jit_caching_layer", weakref.WeakKeyDictionary()),
            (state, "_jit_function_overload_caching", weakref.WeakKeyDictionary()),
            (internal, "_overloaded_fns", overloads),
            (internal, "can_compile_class", _cached_anew(internal.can_compile_class)),
            (script, "_try_get_jit_cached_overloads", self._overloads(overloads)),
        ):
            restore.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

    def _overloads(self, declared: dict[str, Any]) -> Callable[[Any], Any]:
        """Returns the lookup of overloads that are compiled already. TorchScript drops
        declarations of overloads once they are compiled, so earlier ones are looked up as
        compiled functions."""
        here = state._try_get_jit_cached_overloads
        old = state._jit_function_overload_caching

        def overloads(function: Any) -> Any:
            found = here(function)
            if found is None and internal._qualified_name(function) not in declared:
                names = old.get(function) or ()
                found = [self.before.find_function(name) for name in names] or None
            return found

        return overloads

    def note(self, function: Any, made: Any) -> None:
        """Records the Python function of a compiled one."""
        if isinstance(made, torch.jit.ScriptFunction):
            self._python[made.qualified_name] = function

    def python(self, qualname: str) -> Any:
        """Returns the Python function of a qualified name; None if unknown."""
        return self._python.get(qualname)

    def find(self, qualname: str) -> Any:
        """Returns a compiled function, of this conversion or from before; None if there is none."""
        return self.unit.find_function(qualname) or self.before.find_function(qualname)


def _cached_anew(function: Any) -> Any:
    """Returns a function of torch with a cache of its own."""
    return functools.cache(inspect.unwrap(function))
