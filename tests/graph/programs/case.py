"""What a program is: a module that is to be converted, and what it is called with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

_numbers = torch.Generator().manual_seed(0)


@final
@dataclass(frozen=True)
class Program:
    """One case. `grade` is what its root must be after a conversion by TorchScript, and `python`
    by the front end of Python's source: "graph" for whatever it reads, "shell" for what it does not
    and that has children, else "basic"."""

    name: str
    make: Callable[[], nn.Module]
    inputs: tuple[Any, ...]
    named: Mapping[str, Any] = field(default_factory=dict)
    grade: str = "graph"
    python: str = "graph"

    def grade_by(self, frontend: str) -> str:
        """What its root must be by a front end, or by the first of both that can read it."""
        found = {"torchscript": self.grade, "python": self.python}
        return found.get(frontend) or min(found.values(), key=["graph", "shell", "basic"].index)

    def __str__(self) -> str:
        return self.name


PROGRAMS: dict[str, Program] = {}


def add(
    name: str,
    make: Callable[[], nn.Module],
    inputs: tuple[Any, ...],
    named: Mapping[str, Any] | None = None,
    grade: str = "graph",
    python: str = "graph",
) -> None:
    """Add a case; a name that is taken gets a number. `grade` is that by TorchScript."""
    free, number = name, 2
    while free in PROGRAMS:
        free, number = f"{name}-{number}", number + 1
    PROGRAMS[free] = Program(free, make, inputs, named or {}, grade, python)


def program(
    *inputs: Any,
    init: tuple[Any, ...] = (),
    grade: str = "graph",
    python: str = "graph",
    **named: Any,
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Make a class a case: constructed with `init`, called with the inputs. May be repeated."""

    def register(cls: type[nn.Module]) -> type[nn.Module]:
        name = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
        add(name, partial(cls, *init), inputs, named, grade, python)
        return cls

    return register


# Inputs. Those without `plain` require gradients, which are compared too.


def plain(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal random numbers that require no gradient."""
    return torch.randn(*shape, generator=_numbers).to(dtype)


def floats(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal random numbers."""
    return plain(*shape, dtype=dtype).requires_grad_()


def shares(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random numbers between 0.05 and 0.95."""
    return (torch.rand(*shape, generator=_numbers) * 0.9 + 0.05).to(dtype).requires_grad_()


def ints(high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
    """Random whole numbers from 0 up to below `high`."""
    return torch.randint(high, shape, generator=_numbers).to(dtype)
