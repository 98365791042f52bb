"""Initial values: calls that make the tensors training starts from, and calls that fill them.

Everything has an `order`, one clock for tensors, fills and constructor calls: repeated in this
order from the same seed, they give the same values.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, final

from torch import nn

from runner.nested import leaves, rebuild
from runner.operators import is_random, overwrites

KEY = "_runner_record"  # where a module keeps its record, in its `__dict__`


@final
@dataclass(frozen=True, eq=False)
class RecordedCall:
    """A call that makes a tensor. Tensors among its arguments are RecordedCall or Owned.

    `target` is "module:qualname", or ".name" for a method of the first argument; `function` can be
    called with the arguments.
    """

    target: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    order: int

    @property
    def random(self) -> bool:
        """Whether it, or a call among its arguments, draws random numbers."""
        return is_random(self.target) or any(made.random for made in self.inner())

    def inner(self) -> Iterator["RecordedCall"]:
        """The calls among its arguments."""
        return calls_in((self.args, self.kwargs))


@final
@dataclass(frozen=True, eq=False)
class Owned:
    """The value that a parameter or buffer had at that time."""

    owner: nn.Module
    name: str


@final
@dataclass(frozen=True, eq=False)
class Fill:
    """A call that changed a parameter or buffer in place; the tensor is its first argument.

    `scope` is the innermost module whose constructor did it; for a fill outside of any constructor,
    and for one of a tensor that is not below the scope, the outermost module that holds the tensor.
    `args` and `kwargs` are those behind the tensor. `part` are calls, each with its arguments
    behind what the one before gave, that lead from the tensor to the part of it that is changed:
    for `weight[0].zero_()`, one of `operator:getitem(0)`.
    """

    scope: nn.Module
    owner: nn.Module
    name: str
    target: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    order: int
    place: int  # how many children, parameters and buffers the scope had by then
    repeatable: bool  # whether the call, done again, would do the same
    overwritten: bool  # a later fill leaves nothing of it; kept since it draws random numbers
    part: tuple[RecordedCall, ...] = ()

    @property
    def random(self) -> bool:
        """Whether it draws random numbers, itself or in its arguments."""
        inner = calls_in((self.args, self.kwargs))
        return is_random(self.target) or any(made.random for made in inner)

    @property
    def whole(self) -> bool:
        """Whether it leaves nothing of what the tensor held."""
        over = self.repeatable and not self.part and overwrites(self.target)
        return over and (self.owner, self.name) not in owned(self.args)


def calls_in(value: Any) -> Iterator[RecordedCall]:
    """The calls that stand in arguments, without those among their own arguments."""
    return (leaf for leaf in leaves(value, subclasses=True) if isinstance(leaf, RecordedCall))


def owned(value: Any) -> set[tuple[nn.Module, str]]:
    """The parameters and buffers whose values stand in arguments, however deep."""
    found: set[tuple[nn.Module, str]] = set()
    for leaf in leaves(value, subclasses=True):
        if isinstance(leaf, Owned):
            found.add((leaf.owner, leaf.name))
        elif isinstance(leaf, RecordedCall):
            found |= owned((leaf.args, leaf.kwargs))
    return found


def with_copies(value: Any, memo: dict[int, Any]) -> Any:
    """Calls and their arguments, with all modules and parameters in them replaced by their deep
    copies, and everything else shared."""
    return rebuild(value, lambda leaf: _copied(leaf, memo), subclasses=True)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, nn.Module | nn.Parameter):
        return copy.deepcopy(value, memo)
    if isinstance(value, RecordedCall | Owned | Fill):
        changed = {f.name: with_copies(getattr(value, f.name), memo) for f in fields(value)}
        return replace(value, **changed)
    return value
