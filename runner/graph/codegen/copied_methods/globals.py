"""Global names of a user's module, resolved to imports, constants, functions and classes."""

import builtins
import enum
import math
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, final

import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.class_source.scopes import Uncopied, is_foreign
from runner.graph.ir.signature import locate

MARK = "\0"  # delimits placeholders for names that the file chooses: a kind and a target
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_OF_TORCH = (torch.dtype, torch.layout, torch.memory_format)


def marked(kind: str, target: str) -> str:
    """Returns a placeholder for the name that the file chooses for a target."""
    return f"{MARK}{kind} {target}{MARK}"


@final
class Outer:
    """A printer of the values of global names; calls `note` with functions to be copied as well."""

    def __init__(self, note: Callable[[FunctionType], None]) -> None:
        self._note = note

    def value(self, space: dict[str, Any], name: str) -> Any:
        """Returns the value of a global or builtin name. Raises Uncopied if it is undefined."""
        if name in space:
            return space[name]
        try:
            return vars(builtins)[name]
        except KeyError:
            raise Uncopied(f"{name!r} is not defined in its module") from None

    def literal(self, value: Any, name: str) -> str:
        """Returns an expression for a class attribute, which may be a list, set or dict."""
        if type(value) is dict:
            pairs = [f"{self.literal(k, name)}: {self.literal(v, name)}" for k, v in value.items()]
            return f"{{{', '.join(pairs)}}}"
        if type(value) in (list, set) and value:
            items = ", ".join(self.literal(item, name) for item in value)
            return f"[{items}]" if type(value) is list else f"{{{items}}}"
        return repr(value) if type(value) in (list, set) else self.text(value, name)

    def text(self, value: Any, name: str, *, classes: bool = False) -> str:
        """Returns an expression for the value of a name. `classes` allows the user's module
        classes, as in the second argument of isinstance. Raises Uncopied if there is none."""
        if vars(builtins).get(name, self) is value:
            return name
        if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
            return _constant(value, name)
        if isinstance(value, _OF_TORCH):
            return marked("import", f"torch:{str(value).removeprefix('torch.')}")
        if type(value) in (tuple, frozenset):
            items = [self.text(item, f"{name}[{i}]", classes=classes)
                     for i, item in enumerate(value)]  # fmt: skip
            inside = f"({', '.join(items)}{',' * (len(items) == 1)})"
            return inside if type(value) is tuple else f"frozenset({inside})"
        if isinstance(value, FunctionType) and is_foreign(value.__module__):
            self._note(value)
            return marked("def", f"{value.__module__}:{value.__qualname__}")
        if classes and _is_users_module(value):
            return marked("class", f"{value.__module__}:{value.__qualname__}")
        return marked("import", _imported(value, name))


def attribute(value: ModuleType, name: str) -> tuple[Any, str]:
    """Returns an attribute of a module, and its target; "" if it is the user's, or a module."""
    found = getattr(value, name, None)
    if found is None and not hasattr(value, name):
        raise Uncopied(f"{value.__name__} has no {name!r}")
    if is_foreign(value.__name__) or isinstance(found, ModuleType):
        return found, ""
    return found, f"{value.__name__}:{name}"


def _is_users_module(value: Any) -> bool:
    is_class = isinstance(value, type) and issubclass(value, nn.Module)
    return is_class and is_foreign(value.__module__)


def _constant(value: Any, name: str) -> str:
    if isinstance(value, float | complex) and not math.isfinite(abs(value)):
        raise Uncopied(f"{name} is {value!r}, which has no literal")
    return "..." if value is ... else repr(value)


def _imported(value: Any, name: str) -> str:
    """Returns the target of an object of torch or the standard library, else raises Uncopied."""
    if isinstance(value, ModuleType):
        raise Uncopied(f"it uses the module {value.__name__}")
    module = getattr(value, "__module__", None)
    qualname = getattr(value, "__qualname__", "")
    if isinstance(module, str) and not is_foreign(module):
        for home in (module, "torch", "torch.nn.functional"):
            target = f"{home}:{qualname}"
            if home in sys.modules and _is_at(target, value):
                return target
    kind = value.__qualname__ if isinstance(value, type) else f"a {type(value).__name__}"
    raise Uncopied(f"it uses {name} ({kind} of {module or 'its module'})")


def _is_at(target: str, value: Any) -> bool:
    try:
        return locate(target) is value
    except GraphError:
        return False
