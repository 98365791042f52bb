"""Methods beside forward, functions, and gradients of one's own."""

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from programs.case import floats, program


@program(floats(2, 3))
class Methods(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(3, 2)
        self.dec = nn.Linear(2, 3)

    def encode(self, x, times: int = 1):
        for _ in range(times):
            x = torch.tanh(x)
        return self.enc(x)

    def decode(self, z):
        return self.dec(z) if self.training else self.dec(z).relu()

    @torch.jit.export
    def reconstruct(self, x):
        return self.decode(self.encode(x))

    def forward(self, x):
        z = self.encode(x, times=2)
        return self.decode(z), z


@program(floats(2, 3))
class MethodsOfChild(nn.Module):
    def __init__(self):
        super().__init__()
        self.sub = Methods()

    def forward(self, x):
        z = self.sub.encode(x)
        return self.sub.decode(z) + self.sub(x)[0], self.sub.enc(x), self.sub.enc.weight.sum()


@program(floats(2, 3))
class StaticAndProperty(nn.Module):
    def __init__(self):
        super().__init__()
        self._width = 3

    @property
    def width(self) -> int:
        return self._width + 1

    @staticmethod
    def scale(x: Tensor, by: float = 2.0) -> Tensor:
        return x * by

    def forward(self, x):
        return self.scale(x, 3.0) + self.scale(x) * self.width


class Base(nn.Module):
    """Its subclass overrides one method."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def act(self, x):
        return x

    def forward(self, x):
        return self.act(self.linear(x))


@program(floats(2, 3))
class Inherits(Base):
    def __init__(self):
        super().__init__(3)

    def act(self, x):
        return F.relu(x)


def scaled(x: Tensor, by: float, inplace: bool = False) -> Tensor:
    """A function of the module."""
    if inplace:
        return x.mul_(by)
    return x.mul(by)


@torch.jit.script_if_tracing
def halved(x: Tensor) -> Tensor:
    """A function TorchScript wraps."""
    return x / 2


@program(floats(2, 3))
class Functions(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor] = F.gelu):
        super().__init__()
        self.act = act
        self.scaled = scaled

    def forward(self, x):
        x = halved(x)
        return self.act(scaled(x, 0.5)) + self.scaled(x, by=2.0) + scaled(x * 1, 3.0, inplace=True)


program(floats(2, 3), init=(torch.tanh,))(Functions)


@program(floats(2, 3))
class IgnoredMethod(nn.Module):
    """A method that TorchScript is told to leave to Python."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    @torch.jit.ignore
    def report(self, x: Tensor) -> int:
        return len([*filter(None, x.shape)])

    def forward(self, x):
        return self.linear(x) * self.report(x)


@program(floats(2, 3), python="shell")
class UnusedMethod(nn.Module):
    """A method that TorchScript may not call, and that source must not have."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    @torch.jit.unused
    def never(self, x: Tensor) -> Tensor:
        return eval("x")

    def forward(self, x):
        if x.dim() > 5:
            x = self.never(x)
        return self.linear(x)


class Doubled(torch.autograd.Function):
    """x + x with a gradient of its own."""

    @staticmethod
    def forward(ctx, x):
        return x + x

    @staticmethod
    def backward(ctx, grad):
        return 3 * grad


@program(floats(3, 4))
class OwnGradient(nn.Module):
    def forward(self, x):
        return Doubled.apply(x * 2)


@program(floats(2, 3))
class IgnoredReadsAttribute(nn.Module):
    """An ignored method that uses what nothing else does."""

    def __init__(self):
        super().__init__()
        self.times = 3

    @torch.jit.ignore
    def count(self, x: Tensor) -> int:
        return len([*x]) * self.times

    def forward(self, x):
        return x * self.count(x)


@program(floats(2, 3), grade="basic")
class IgnoredCallsMethod(nn.Module):
    """An ignored method that calls another, which only its class has."""

    @torch.jit.ignore
    def count(self, x: Tensor) -> int:
        return len([*x]) * self.times()

    @torch.jit.ignore
    def times(self) -> int:
        return 3

    def forward(self, x):
        return x * self.count(x)


class EndsOtherwise(nn.Module):
    """Returns more to TorchScript than in Python, as detectors do."""

    def __init__(self, both: bool):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.both = both

    @torch.jit.unused
    def eager(self, x: Tensor, y: Tensor):
        return (x, y) if self.both else x

    def forward(self, x):
        y = self.linear(x)
        if torch.jit.is_scripting():
            if not self.both:
                warnings.warn("Scripted, it always returns two.", stacklevel=2)
            return x, y
        return self.eager(x, y)


program(floats(2, 3), init=(True,))(EndsOtherwise)
program(floats(2, 3), init=(False,))(EndsOtherwise)
