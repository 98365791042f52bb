"""The model as the lowering of one of its methods needs it."""

from collections.abc import Sequence
from typing import Any, Protocol, final

import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.frontend.literals.literal import Literals
from runner.graph.frontend.reading.read_module import ModulePath
from runner.graph.frontend.torchscript.declarations import function_target
from runner.graph.frontend.torchscript.isolation import CompiledFunctions
from runner.graph.frontend.torchscript.module_type import LoweredType
from runner.graph.frontend.torchscript.schema import Formal, demangled, formal, plain_name, resolve
from runner.graph.ir.node import Node


class LoweredMethods(Protocol):
    """The methods of a model that are lowered."""

    literals: Literals
    types: dict[int, LoweredType]  # by id of module
    compiled: CompiledFunctions

    def called(self, module: nn.Module, method: str) -> Sequence[Formal]:
        """Returns the parameters of a method that is called, and has it lowered."""

    def keyword_only(self, function: Any) -> frozenset[str]:
        """Returns the names of keyword-only parameters of a Python function."""

    def own_function(self, qualname: str, compiled: Any) -> str:
        """Returns the name of a function of the graph's own, lowered when it is first met."""


@final
class MethodScope:
    """The model around a method that is lowered; `owner` is its module, None for a function."""

    def __init__(
        self, methods: LoweredMethods, owner: nn.Module | None, found: LoweredType
    ) -> None:
        self.methods = methods
        self.literals = methods.literals
        self._owner = owner
        self._type = found

    def module(self, names: tuple[str, ...]) -> nn.Module | None:
        """Returns the module at a path below the owner; None if there is none."""
        found = self._owner
        for name in names:
            found = found._modules.get(name) if found is not None else None
        return found

    def called(self, path: ModulePath, method: str) -> Sequence[Formal]:
        """Returns the parameters of a method that is called there, without `self`."""
        module = self.module(path.names)
        assert module is not None
        return self.methods.called(module, method)

    def note_call(self, path: ModulePath, method: str, node: Node) -> None:
        """Records a node that calls a method there: an overload may get another name."""
        module = self.module(path.names)
        if plain_name(method) != method and module is not None:
            self._type.calls.append((node, self.methods.types[id(module)], method))

    def replaced_attribute(self, path: ModulePath) -> str:
        """Returns the attribute that the stand-in for a callable value replaces; "" if none."""
        return getattr(self.module(path.names), "replaced_attribute", "")

    def read(self, path: ModulePath, name: str) -> None:
        """Records that an attribute is read or written there."""
        self._type.reads[path, name] = None

    def function(self, qualname: str) -> tuple[str, Sequence[Formal] | None]:
        """Returns the target for a script function, and its parameters if known."""
        compiled = self.methods.compiled.find(qualname)
        formals = None if compiled is None else [*map(formal, compiled.schema.arguments)]
        name = plain_name(demangled(qualname))
        python = self.methods.compiled.python(qualname) or resolve(name)
        if is_called_by_name(python, name):
            keywords = self.methods.keyword_only(python)
            for declared in formals or ():
                declared.by_name = declared.name in keywords
            return function_target(python, name), formals
        if compiled is None:
            raise GraphError(f"The function {name} cannot be imported.")
        return f":{self.methods.own_function(qualname, compiled)}", formals


def is_called_by_name(function: Any, name: str = "") -> bool:
    """Returns whether generated source calls a function by its name, "a.b.f" to TorchScript."""
    if not callable(function) or isinstance(function, torch.jit.ScriptFunction):
        return False
    home, own = getattr(function, "__module__", None) or "", getattr(function, "__name__", "")
    name = name or f"{home}.{own}".removeprefix("__main__.")
    return "<" not in name and (resolve(name) is function or home.startswith("torch."))
