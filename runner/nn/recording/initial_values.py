"""Initial values: the calls that create and fill tensors before training starts.

Calls, fills and constructor calls share one clock, `order`: repeated in this order from the same
seed, they reproduce the same values.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, final

from torch import nn

from runner.nested import leaves, rebuild
from runner.operators import is_random, overwrites


@final
@dataclass(frozen=True, eq=False)
class RecordedCall:
    """A call that creates a tensor. Tensors among its arguments are RecordedCall or Owned.

    `target` is "module:qualname", or ".name" for a method of the first argument; `function` is the
    callable itself.
    """

    target: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    order: int

    @property
    def random(self) -> bool:
        """True if it, or a call among its arguments, draws random numbers."""
        return is_random(self.target) or any(made.random for made in self.inner())

    def inner(self) -> Iterator["RecordedCall"]:
        """Returns the calls among its arguments."""
        return calls_in((self.args, self.kwargs))


@final
@dataclass(frozen=True, eq=False)
class Owned:
    """The value of a parameter or buffer at the time of the call."""

    owner: nn.Module
    name: str


@final
@dataclass(frozen=True, eq=False)
class Fill:
    """A call that changed a parameter or buffer in place; the tensor is its first argument.

    `scope` is the innermost module whose constructor made the call; for a fill outside all
    constructors, or of a tensor not below that module, it is the outermost module that contains the
    tensor. `args` and `kwargs` follow the tensor. `part` is a chain of calls from the tensor to the
    part that is changed, each applied to the previous result: `operator:getitem(0)` for
    `weight[0].zero_()`.
    """

    scope: nn.Module
    owner: nn.Module
    name: str
    target: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    order: int
    place: int  # number of children, parameters and buffers that the scope had at the time
    repeatable: bool  # whether repeating the call has the same effect
    overwritten: bool  # whether a later fill overwrites it: kept for its random draws or for a use
    part: tuple[RecordedCall, ...] = ()

    @property
    def random(self) -> bool:
        """True if it, or a call among its arguments, draws random numbers."""
        inner = calls_in((self.args, self.kwargs))
        return is_random(self.target) or any(made.random for made in inner)

    @property
    def whole(self) -> bool:
        """True if it overwrites the whole tensor, regardless of its previous values."""
        over = self.repeatable and not self.part and overwrites(self.target)
        return over and (self.owner, self.name) not in owned(self.args)


def calls_in(value: Any) -> Iterator[RecordedCall]:
    """Returns the outermost calls in arguments."""
    return (leaf for leaf in leaves(value, subclasses=True) if isinstance(leaf, RecordedCall))


def owned(value: Any) -> set[tuple[nn.Module, str]]:
    """Returns the parameters and buffers (owner, name) whose values are used in arguments, at any
    depth."""
    found: set[tuple[nn.Module, str]] = set()
    for leaf in leaves(value, subclasses=True):
        if isinstance(leaf, Owned):
            found.add((leaf.owner, leaf.name))
        elif isinstance(leaf, RecordedCall):
            found |= owned((leaf.args, leaf.kwargs))
    return found


def with_copies(value: Any, memo: dict[int, Any]) -> Any:
    """Returns calls and their arguments with all modules and parameters in them deep-copied, and
    everything else shared."""
    return rebuild(value, lambda leaf: _copied(leaf, memo), subclasses=True)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, nn.Module | nn.Parameter):
        return copy.deepcopy(value, memo)
    if isinstance(value, RecordedCall | Owned | Fill):
        changed = {f.name: with_copies(getattr(value, f.name), memo) for f in fields(value)}
        return replace(value, **changed)
    return value
