"""Conditions: nested, combined, with early returns, on flags, sizes, tensors and None."""

import torch
import torch.nn.functional as F
from torch import nn

from programs.case import floats, ints, plain, program


@program(floats(2, 3))
class IfTraining(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)

    def forward(self, x):
        if self.training:  # noqa: SIM108
            x = self.a(x)
        else:
            x = self.b(x)
        return x


@program(floats(2, 3), 1)
@program(floats(2, 3), 5)
class AAndB(nn.Module):
    def forward(self, x, n: int):
        if x.size(0) == 2 and n > 3:
            return x * n
        return x - n


@program(floats(2, 3), 1)
@program(floats(2, 3), 5)
class AOrB(nn.Module):
    def forward(self, x, n: int):
        if x.size(1) == 2 or not n > 3:
            x = x * n
        return x


@program(floats(2, 3), True, False)
@program(floats(2, 3), False, False)
@program(floats(2, 3), True, True)
class Combined(nn.Module):
    def forward(self, x, a: bool, b: bool):
        if (a and b) or (not a and not b):
            x = x + 1
        if a and x.dim() == 2 and not b:
            x = x * 2
        elif b or x.dim() > 3:
            x = x * 3
        flag = a or b
        return x, flag, a and b, not flag


@program(floats(2, 3), 0)
@program(floats(2, 3), 2)
class ShortCut(nn.Module):
    """The second part may only be looked at when the first holds."""

    def forward(self, x, n: int):
        if n != 0 and 4 // n == 2:
            return x
        if n == 0 or 4 % n == 1:
            return x * 2
        return x * 3


@program(floats(2, 3), 0)
@program(floats(2, 3), 1)
@program(floats(2, 3), 2)
@program(floats(2, 3), 3)
class Nested(nn.Module):
    def forward(self, x, n: int):
        if n > 0:
            if n == 1:
                y = x + 1
            elif n == 2:
                y = x * 2
                x = y - 3
            else:
                return x
        else:
            y = -x
        return x + y


@program(floats(2, 3))
@program(ints(9, 2, 3))
class OnDtype(nn.Module):
    def forward(self, x):
        if x.is_floating_point():
            return x.new_zeros(x.shape)
        return x.new_ones(x.shape)


@program(floats(2, 3, 4))
@program(floats(1, 3, 4))
@program(ints(9, 2, 3, 4))
class OnSizeThenDtype(nn.Module):
    def forward(self, x):
        if x.size(0) > 1:
            a = x + 2
            if a.is_floating_point():
                return x.new_zeros(x.shape[1:])
            return a
        return x


@program(plain(2, 3))
@program(plain(2, 3) + 9)
@program(plain(2, 3) - 9)
class OnTensor(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)

    def forward(self, x):
        y = self.a(x)
        if x.sum() > 5 and x.shape[0] > 1:
            y = y + 1
        elif bool(x.mean() < -3):
            return y * 2
        return y - 1


@program(floats(2, 3), True)
@program(floats(2, 3), False)
class Ternary(nn.Module):
    def forward(self, x, flag: bool):
        y = x if flag else x * 2
        n = 1 if x.dim() == 2 else 2 if flag else 3
        return (y + n if flag and n == 1 else y - n), n


@program(floats(2, 3), "relu")
@program(floats(2, 3), "tanh")
@program(floats(2, 3), "none")
class OnString(nn.Module):
    def forward(self, x, kind: str):
        if kind == "relu":
            x = F.relu(x)
        elif kind in ["tanh", "sigmoid"]:
            x = torch.tanh(x) if kind == "tanh" else x.sigmoid()
        return x, kind != "relu"


class OnAttribute(nn.Module):
    """Which layers there are is decided when it is constructed."""

    def __init__(self, width: int | None, norm: bool):
        super().__init__()
        self.norm = nn.LayerNorm(3) if norm else None
        self.grow = width is not None
        self.linear = nn.Linear(3, 3 if width is None else width)
        self.scale = 2.0 if norm else None

    def forward(self, x):
        if self.norm is not None:
            x = self.norm(x)
        y = self.linear(x)
        scale = self.scale
        if scale is not None:
            y = y * scale
        return y if self.grow else y + x


program(floats(2, 3), init=(None, True))(OnAttribute)
program(floats(2, 3), init=(5, False))(OnAttribute)
program(floats(2, 3), init=(5, True))(OnAttribute)


@program(floats(2, 3))
class BothBranchesInPlace(nn.Module):
    def forward(self, x):
        y = x.clone()
        if self.training:
            y.add_(1)
        else:
            y += 2
            y[0] = 0.0
        return y * 2


@program(floats(2, 3), 1)
@program(floats(2, 3), 2)
class SwapsNames(nn.Module):
    def forward(self, x, n: int):
        a, b = x, x * 2
        if n == 1:
            a, b = b, a
        else:
            a, b = b + a, a
        return a - b, a


@program(floats(2, 3))
class Asserts(nn.Module):
    def forward(self, x):
        assert x.dim() == 2, f"expected 2 dimensions, got {x.dim()}"
        torch._assert(x.size(0) > 0, "empty")
        if x.shape[1] != 3:
            raise ValueError("the width must be 3")
        return x * 2


@program(floats(2, 3), 2)
class RaisesElse(nn.Module):
    def forward(self, x, n: int):
        if n == 1:
            y = x
        elif n == 2:
            y = x * 2
        else:
            raise NotImplementedError(f"no {n}")
        return y


@program(floats(2, 3))
class WithoutGradient(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            y = x * 2
            z = y.sum()
        return x * z + y


@program(floats(2, 3))
class Scripting(nn.Module):
    """Asks whether it is scripted: it is not, in Python."""

    def forward(self, x):
        if torch.jit.is_scripting():  # noqa: SIM108
            y = x + 1
        else:
            y = x + 2.0
        return y


@program(floats(2, 3))
class Identity(nn.Module):
    def forward(self, x):
        return x


@program(floats(2, 3))
class NothingReturned(nn.Module):
    def forward(self, x):
        x * 2
        return


@program(floats(2, 3))
class ComparesChain(nn.Module):
    def forward(self, x):
        n = x.size(1)
        if 1 < n <= 3:
            x = x + 1
        return x, 0 < n < 3, n in (2, 3)
