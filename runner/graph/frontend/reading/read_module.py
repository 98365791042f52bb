"""What every front end returns: the methods of the modules of a model, as functions of the IR."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, final

from torch import Tensor, nn

from runner.graph.ir.function import Function


@final
@dataclass(frozen=True)
class ModulePath:
    """The path of a module below the one whose method is read, as names of children."""

    names: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The names, joined with dots."""
        return ".".join(self.names)

    @property
    def parent(self) -> "ModulePath":
        """The path of the module that holds it."""
        return ModulePath(self.names[:-1])

    def below(self, module: nn.Module) -> Any:
        """Returns the module at this path below a module."""
        found: Any = module
        for name in self.names:
            found = found._modules[name]
        return found

    def child(self, name: str) -> "ModulePath":
        """Returns the path of a child."""
        return ModulePath((*self.names, name))


Caller = Literal["read", "unread", "user"]  # of a forward: code that was read or was not, the user


AttributeRead = tuple[ModulePath, str]  # the module that has the attribute, and its name


@dataclass(eq=False)
class ReadModule:
    """The methods of a module as functions of the IR, by name; several modules may share one.

    `problem` says why they could not be read, with file and line; `reads` are the attributes that
    the functions read or set. `whole` says why only a constructor can make the module, if so.
    """

    problem: str = ""
    functions: dict[str, Function] = field(default_factory=dict)
    reads: dict[AttributeRead, None] = field(default_factory=dict)
    whole: str = ""

    def doubt(self, module: nn.Module, caller: Caller) -> str:
        """Returns why the functions may not do what the methods of a module do when its forward is
        called so, with file and line if known; "" if there is no doubt."""
        return ""


class FrontEnd(Protocol):
    """Reads the modules of a model."""

    def read(
        self, model: nn.Module, functions: dict[str, Function], tensors: dict[str, Tensor]
    ) -> Mapping[int, ReadModule]:
        """Returns the read modules of a model by their ids: all but layers, choices and classes
        with @basic_unit. Adds the free functions that they call, and the constant tensors that
        these functions hold, under new names."""
