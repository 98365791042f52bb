"""Parameters and buffers of units, and the calls that fill them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

from runner.graph.ir.argument import Argument, Call, Made, map_made
from runner.graph.ir.constants import leaves

if TYPE_CHECKING:
    from runner.graph.ir.unit import Unit


Place = tuple[int, int]
"""When something is done in a constructor: the number of children that are made before it, and its
number among all that is done."""


@final
@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter or buffer: what it is, and the expression of its first value.

    `start` is None when only shape and dtype are known; a parameter then starts uninitialized
    (something in `Unit.starts` fills it) and a buffer with zeros. `place` is when it is made, where
    that matters for the random numbers it draws: see `Place`.
    """

    shape: tuple[Any, ...]  # of ints, or of choices left open
    dtype: str = "float32"
    requires_grad: bool = True
    persistent: bool = True  # of a buffer: whether it is in the state_dict
    start: Argument = None
    place: Place | None = None


@final
@dataclass(eq=False)
class Start:
    """A call that fills a parameter or buffer in place once the unit it belongs to is built, for
    example `nn.init.xavier_uniform_(self.head.weight)`; `target` as in `Call`.

    `part` are calls that lead from the tensor to the part of it that is filled, each without its
    first argument: for `self.head.weight[0].zero_()`, one of `operator:getitem(0)`. Arguments may
    hold what other tensors of the model held by then: see `held`. `place` is when it is done,
    see `Place`; None for at the end.
    """

    unit: "Unit"  # the unit below, or this one, that owns the tensor
    name: str  # of the parameter or buffer there; a path inside a basic unit
    target: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    part: tuple[Call, ...] = ()
    place: Place | None = None

    @property
    def units(self) -> "set[Unit]":
        """The units whose tensors it speaks of: the one that it fills, and those it reads."""
        given = leaves((self.args, {**self.kwargs}))
        return {self.unit, *(thing for thing in given if isinstance(thing, Made))}  # type: ignore[arg-type]

    def moved(self, change: "Callable[[Unit], Unit]") -> "Start":
        """The same call, with other units in place of those it speaks of."""
        args, kwargs = map_made((self.args, {**self.kwargs}), change)
        return replace(self, unit=change(self.unit), args=args, kwargs=kwargs)


SET = ".data"  # the target of a start that gives a tensor other data, of any shape and type
CAST = "torch.nn:Module.to"  # what is applied to a module that is cast as a whole


def held(unit: "Unit", name: str) -> Call:
    """What a parameter or buffer of a unit holds, as an argument of a start; `name` may be a path
    inside a basic unit."""
    first, *names = (*name.split("."), "data")
    found = Call("builtins:getattr", (unit, first))
    for part in names:
        found = Call("builtins:getattr", (found, part))
    return found
