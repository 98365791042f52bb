"""Source: the number that determines a width."""

from dataclasses import dataclass
from typing import Literal, final

from runner.graph.ir.argument_sizes import Place


@final
@dataclass(frozen=True)
class Source:
    """The number that determines a width: an argument of the constructor of a layer, a dimension of
    a tensor of a unit, or an argument of a call.

    `path` is the path of the unit, `name` the tensor or function, `place` the dimension or the
    place of the number among the arguments (for a call, preceded by the number of its node); `size`
    is the current value.
    """

    kind: Literal["layer", "tensor", "number"]
    path: str
    name: str
    place: Place
    size: int

    def __str__(self) -> str:
        place = ".".join(map(str, self.place))
        return (
            f"{'.'.join(filter(None, (self.path, self.name)))} ({self.kind}, {place}: {self.size})"
        )
