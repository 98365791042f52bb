"""Types of modules: as TorchScript compiles them, and as their methods are lowered."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

from torch import nn

from runner.graph.frontend.reading.read_module import AttributeRead
from runner.graph.frontend.torchscript.schema import Formal, formal
from runner.graph.frontend.torchscript.source import Assumptions
from runner.graph.ir.function import Function
from runner.graph.ir.node import Node


@final
@dataclass(eq=False)
class CompiledType:
    """A type of modules, compiled; or a stub of one, if its modules are opaque or do not compile.

    `methods` is a module of TorchScript, without weights, that holds the graphs of the methods;
    `problem` says why it could not be compiled; `assumptions` are the questions about a module on
    whose answers the compiled code depends, with these answers.
    """

    concrete: Any
    methods: Any = None
    problem: str = ""
    stubbed: bool = False
    assumptions: Assumptions = field(default_factory=list)
    _formals: dict[str, list[Formal]] = field(default_factory=dict)

    def fits(self, module: nn.Module) -> bool:
        """Returns whether all assumptions made in compiling this hold for a module."""
        return all(_same(question(module), answer) for question, answer in self.assumptions)

    def has(self, method: str) -> bool:
        """Returns whether a method was compiled."""
        return self.methods is not None and method in self.methods._method_names()

    def schema(self, method: str) -> list[Formal]:
        """Returns the parameters of a method, without `self`."""
        if method not in self._formals:
            arguments = self.methods._get_method(method).schema.arguments[1:]
            self._formals[method] = [*map(formal, arguments)]
        return self._formals[method]


def _same(value: Any, known: Any) -> bool:
    return type(value) is type(known) and bool(value == known)


@final
@dataclass(eq=False)
class LoweredType:
    """The methods of a compiled type as functions of the IR, by their names in TorchScript.

    `problem` says why they could not be compiled or lowered; `reads` are the attributes they read
    or set; `calls` the nodes that call overloaded methods, with the type and method called.
    """

    compiled: CompiledType
    problem: str = ""
    functions: dict[str, Function] = field(default_factory=dict)
    reads: dict[AttributeRead, None] = field(default_factory=dict)
    calls: list[tuple[Node, "LoweredType", str]] = field(default_factory=list)


def container_methods(module: nn.Module) -> Iterator[str]:
    """Yields the sources of methods that `torch.jit.script` adds to containers."""
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        yield f"def __len__(self):\n    return {len(module)}\n"
    if isinstance(module, nn.ModuleDict):
        found = f"key in {[*module]!r}" if len(module) else "False"
        yield f"def __contains__(self, key: str):\n    return {found}\n"
