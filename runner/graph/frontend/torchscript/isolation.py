"""TorchScript without memory: what was compiled before, by whom ever, is not seen while a model is
read, and what is compiled meanwhile is not seen afterwards.

TorchScript keeps functions, classes and overloads that it has compiled for the whole process. Each
reading has a compilation unit of its own, so that names and types are those of this model alone.
"""

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
    """The functions that are compiled in one reading, by their names there."""

    def __init__(self) -> None:
        self.unit: Any = torch._C.CompilationUnit()
        self.before: Any = state._python_cu
        self._python: dict[str, Any] = {}  # by qualified name

    def install(self, restore: ExitStack) -> None:
        """Have TorchScript compile into this, until `restore` is closed."""
        overloads = {name: [*found] for name, found in internal._overloaded_fns.items()}
        for owner, name, value in (
            (state, "_python_cu", self.unit),
            (recursive, "_python_cu", self.unit),
            (state, "_script_classes", {}),
            (state, "_name_to_pyclass", {}),
            (state, "_jit_caching_layer", weakref.WeakKeyDictionary()),
            (state, "_jit_function_overload_caching", weakref.WeakKeyDictionary()),
            (internal, "_overloaded_fns", overloads),
            (script, "_try_get_jit_cached_overloads", self._overloads(overloads)),
        ):
            restore.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

    def _overloads(self, declared: dict[str, Any]) -> Callable[[Any], Any]:
        """How overloads of a function are found that were compiled already. Their declarations are
        dropped by then, so that of those from before only the compiled ones are left."""
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
        """Remember which function was compiled."""
        if isinstance(made, torch.jit.ScriptFunction):
            self._python[made.qualified_name] = function

    def python(self, qualname: str) -> Any:
        """The function of Python's that has a name here; None where that is not known."""
        return self._python.get(qualname)

    def find(self, qualname: str) -> Any:
        """A compiled function, of this reading or from before; None if there is none."""
        return self.unit.find_function(qualname) or self.before.find_function(qualname)
