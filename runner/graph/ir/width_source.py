"""Source: what sets a width."""

from dataclasses import dataclass
from typing import Literal, final

from runner.graph.ir.nested import Place


@final
@dataclass(frozen=True)
class Source:
    """What sets a width: a number that the constructor of a layer is given, a dimension of a
    tensor that a unit holds, or a number among the arguments of a call.

    `path` is that of the unit, `name` the tensor or the function, `place` where the number stands
    (of a call behind the number of its node) or the dimension; `size` is what it is.
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
