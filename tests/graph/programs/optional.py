"""Values that may be None, or of several types, and arguments with a default."""

from typing import Any, Optional

import torch
from torch import Tensor, nn

from programs.case import floats, plain, program


@program(floats(2, 3))
@program(floats(2, 3), floats(2, 3))
@program(floats(2, 3), mask=floats(2, 3))
@program(floats(2, 3), scale=3.0, mask=None)
class OptionalInput(nn.Module):
    def forward(self, x, mask: Optional[Tensor] = None, scale: float = 2.0):  # noqa: UP045
        if mask is not None:
            x = x.masked_fill(mask > 0, 0.0)
        return x * scale


@program(floats(2, 3), y=floats(2, 3), z=None)
@program(floats(2, 3), y=None, z=floats(2, 3))
@program(floats(2, 3), z=floats(2, 3))
@program(floats(2, 3))
class MixedOptionals(nn.Module):
    def forward(self, x, y: Tensor | None = None, z: Tensor | None = None):
        if y is not None:
            return x + y
        if z is not None:
            return x + z
        return x


@program(floats(2, 3))
@program(floats(2, 3), 4, 0.5, False, "sum", (1, 2), [3.0])
class Defaults(nn.Module):
    def forward(
        self,
        x,
        n: int = 2,
        rate: float = 0.1,
        flag: bool = True,
        kind: str = "mean",
        pair: tuple[int, int] = (3, 4),
        more: list[float] | None = None,
    ):
        y = x.mean() if kind == "mean" else x.sum()
        if more is not None:
            y = y + more[0]
        return y * n + rate if flag else y * pair[0] - pair[1]


class Inner(nn.Module):
    """Has optional inputs itself."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x, mask: Tensor | None = None, times: int = 2):
        y = self.linear(x)
        if mask is not None:
            y = y.masked_fill(mask, float("-inf")).softmax(-1).nan_to_num()
        return y * times


@program(floats(2, 3))
@program(floats(2, 3), plain(2, 3) > 0)
class PassesOptionals(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, x, mask: Tensor | None = None):
        return self.inner(x, mask), self.inner(x, mask=x > 0, times=3), self.inner(x, times=1)


@program([floats(2), None, floats(2)])
class OptionalElements(nn.Module):
    def forward(self, xs: list[Tensor | None]):
        total = torch.zeros(2)
        for x in xs:
            if x is not None:
                total = total + x
        return total


@program(floats(2, 3))
class OptionalVariable(nn.Module):
    def forward(self, x):
        best: Tensor | None = None
        for i in range(3):
            if best is None:  # noqa: SIM108
                best = x * i
            else:
                best = torch.maximum(best, x * i)
        assert best is not None
        return best


@program(floats(2, 3), 3)
class AnyInput(nn.Module):
    def forward(self, x, y: Any):
        if isinstance(y, int):
            return x * y
        return x


@program(floats(2, 3), [floats(2, 3)])
@program(floats(2, 3), floats(2, 3))
class UnionInput(nn.Module):
    def forward(self, x, y: Tensor | list[Tensor]):
        if isinstance(y, Tensor):
            y = [y]
        return x + y[0]


@program(floats(2, 3), floats(2, 3), None)
@program(floats(2, 3), None, floats(2, 3))
@program(floats(2, 3), None, None)
class OnNone(nn.Module):
    def forward(self, x, y: Tensor | None, z: Tensor | None):
        if y is not None:
            return x + y
        if z is not None:
            return x + z
        return x


@program(floats(2, 3), None)
@program(None, floats(2, 3))
@program(None, None)
class AllOptional(nn.Module):
    def forward(self, y: Tensor | None, z: Tensor | None):
        if y is not None:
            return y
        if z is not None:
            return z
        return None


@program(floats(2, 3), (None, floats(2, 3)))
@program(floats(2, 3), (floats(2, 3), None))
@program(floats(2, 3), (None, None))
class NoneInTuple(nn.Module):
    def forward(self, x, y: tuple[Tensor | None, Tensor | None]):
        first, second = y
        if first is not None:
            return x + first
        if second is not None:
            return x + second
        return x


@program(floats(2, 3), None)
@program(floats(2, 3), floats(2, 3))
class NoneAndMore(nn.Module):
    def forward(self, x, y: Tensor | None):
        if y is not None and y.size(0) == 2:
            x = x * y
        if y is None or x.size(0) == 1:
            y = x
        return x, y
