"""Types: what TorchScript knows of modules of one type, and what was lowered of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

from torch import nn

from runner.graph.frontend.torchscript.desugar.source import Question
from runner.graph.frontend.torchscript.schema import Formal, formal, plain_name, spoken
from runner.graph.ir.function import Function
from runner.graph.ir.node import Node


@final
@dataclass(frozen=True)
class ModulePath:
    """The path of a module below the one whose method is lowered, as names of children."""

    names: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The names, joined with dots."""
        return ".".join(self.names)

    @property
    def parent(self) -> "ModulePath":
        """The path of the module that holds it."""
        return ModulePath(self.names[:-1])

    def child(self, name: str) -> "ModulePath":
        """Returns the path of a child."""
        return ModulePath((*self.names, name))


@final
@dataclass(eq=False)
class Type:
    """See the top of this file."""

    concrete: Any
    methods: Any = None  # a module of TorchScript's, without weights, to get graphs from
    problem: str = ""  # why it could not be read
    stubbed: bool = False
    functions: dict[str, Function] = field(default_factory=dict)
    reads: dict[tuple[ModulePath, str], None] = field(default_factory=dict)
    formals: dict[str, list[Formal]] = field(default_factory=dict)
    calls: list[tuple[Node, "Type", str]] = field(default_factory=list)  # of overloads
    relied: list[tuple[Question, Any]] = field(default_factory=list)  # and the answers, see Source

    def decides(self, module: nn.Module) -> bool:
        """Whether a module gives the answers that were relied on when this was compiled."""
        return all(_same(question(module), answer) for question, answer in self.relied)

    def schema(self, method: str) -> list[Formal]:
        """The arguments of a method, without self."""
        if method not in self.formals:
            arguments = self.methods._get_method(method).schema.arguments[1:]
            self.formals[method] = [*map(formal, arguments)]
        return self.formals[method]


def _same(value: Any, known: Any) -> bool:
    return type(value) is type(known) and bool(value == known)


def container_methods(module: nn.Module) -> Iterator[str]:
    """Methods that containers have for TorchScript, as `torch.jit.script` defines them."""
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        yield f"def __len__(self):\n    return {len(module)}\n"
    if isinstance(module, nn.ModuleDict):
        found = f"key in {[*module]!r}" if len(module) else "False"
        yield f"def __contains__(self, key: str):\n    return {found}\n"


def plainly_named(functions: dict[str, Function]) -> dict[str, Function]:
    plain = [plain_name(name) for name in functions]
    named = {}
    for name, made in functions.items():
        if plain.count(plain_name(name)) == 1:
            made.name = spoken(plain_name(name))
        named[made.name] = made
    return named
