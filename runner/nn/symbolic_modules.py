"""Symbolic choices of modules: modules that hold all candidates.

Each has a `kind` and `facts()`, which describe the choice, and runs as in the default model. Its
children are the candidates, numbered from 0.
"""

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, final

from torch import nn

from runner.errors import SymbolicError
from runner.nn.values.build import current
from runner.nn.values.expression import Expression
from runner.nn.values.frames import users_line
from runner.space.choice import Categorical
from runner.space.sample import lookup

DEPTHS = 10_000  # most combinations of choices that the depth of a Repeat may depend on


class Described(nn.Module):
    """A module that the graph knows by its `kind` and `facts()`, rather than by what it holds."""

    kind: ClassVar[str]

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Returns what describes the module."""


class SymbolicModule(Described):
    """A module with its candidates as children. Accessing an attribute of a candidate on it, in a
    symbolic build, raises SymbolicAttributeError."""

    def __init__(self, candidates: Sequence[nn.Module]) -> None:
        super().__init__()
        for i, candidate in enumerate(candidates):
            self.add_module(str(i), candidate)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            if not current().symbolic or name.startswith("_"):
                raise
            raise SymbolicAttributeError(
                f"{users_line()}: attribute {name!r} of a {self.kind} whose choice is still "
                "symbolic. Compute it from the choices instead."
            ) from error


@final
class SymbolicAttributeError(SymbolicError, AttributeError):
    """Access to an attribute of a module whose choice is symbolic."""


@final
class OpenLayer(SymbolicModule):
    """A symbolic LayerChoice; its children are the candidates, in order."""

    kind: ClassVar[str] = "LayerChoice"

    def __init__(self, choice: Categorical, candidates: Sequence[nn.Module], default: int) -> None:
        super().__init__(candidates)
        self.choice = choice
        self.default = default

    def facts(self) -> dict[str, Any]:
        """Returns `choice`, a Categorical whose candidates correspond to the children in order."""
        return {"choice": self.choice}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the output of the default candidate."""
        return self.get_submodule(str(self.default))(*args, **kwargs)

    def extra_repr(self) -> str:
        return f"{self.choice.label}: {self.choice}"


@final
class OpenRepeat(SymbolicModule):
    """A Repeat of symbolic depth: applies its first `depth` children in sequence."""

    kind: ClassVar[str] = "Repeat"

    def __init__(self, depth: Expression, blocks: Sequence[nn.Module]) -> None:
        super().__init__(blocks)
        self.depth = depth

    def facts(self) -> dict[str, Any]:
        """Returns `depth`, an Expression whose maximum is the number of children."""
        return {"depth": self.depth}

    def forward(self, x: Any) -> Any:
        """Returns the output of the blocks of the default model."""
        for block in self:
            x = block(x)
        return x

    def __len__(self) -> int:
        return int(self.depth if current().symbolic else self.depth.default)

    def __bool__(self) -> bool:
        return not current().symbolic or len(self) > 0  # outside a build, a test for None

    def __iter__(self) -> Iterator[nn.Module]:
        return itertools.islice(self.children(), len(self))

    def __getitem__(self, index: int) -> nn.Module:
        blocks: list[nn.Module] = [*self]
        return blocks[index]

    def extra_repr(self) -> str:
        return f"depth={self.depth!r}"


def depths_of(depth: Expression) -> list[Any]:
    """Returns the depth of a Repeat for each combination of its choices. Raises SymbolicError if
    there are more than `DEPTHS`."""
    size: float = 1
    for choice in depth.choices:
        size *= choice.size if choice.size < DEPTHS else DEPTHS + 1
    if size > DEPTHS:
        raise SymbolicError(f"The depth {depth!r} of a Repeat has too many values to list.")
    values = itertools.product(*(choice.values() for choice in depth.choices))
    labels = [choice.label for choice in depth.choices]
    samples = (dict(zip(labels, answers, strict=True)) for answers in values)
    return [depth.resolve(lookup(sample)) for sample in samples]
