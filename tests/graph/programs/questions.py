"""Questions that TorchScript answers before a program runs: about modules, and about arguments that
may be None."""

import torch
from torch import nn

from programs.case import floats, program


@program(floats(3, 4))
@program(floats(3, 4), floats(3, 4))
@program(floats(3, 4), hint=None)
class Hint(nn.Module):
    """A parameter without a type, None by default."""

    def forward(self, x, hint=None):
        if hint is not None:
            x = x + hint
        return x * 2


@program(floats(3, 4))
class HintsInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Hint()

    def shifted(self, x, by=None, scale=1.5):
        return x * scale if by is None else x - by

    def forward(self, x):
        x = self.inner(x) + self.inner(x, x) + self.inner(x, hint=None)
        return self.shifted(x) + self.shifted(x, x, scale=0.5)


def tilted(x, hint=None, flag=False, scale=2):
    if flag:
        x = x * scale
    return x if hint is None else x + hint


@program(floats(3, 4))
class HintsOfAFunction(nn.Module):
    def forward(self, x):
        return tilted(x) + tilted(x, x) + tilted(x, flag=True) + tilted(x, None, True, 3)


@program(floats(3, 4), grade="basic")
@program(floats(3, 4), 3, grade="basic")
@program(floats(3, 4), 2.5, grade="basic")
class NumberOrShape(nn.Module):
    """The caller decides the branch."""

    def forward(self, x, n=2):
        if isinstance(n, float):
            return x * n
        return x.repeat(n, 1)


@program(floats(3, 4))
class Checked(nn.Module):
    """What only refuses may be left out."""

    def forward(self, x):
        if not isinstance(x, torch.Tensor):
            raise TypeError("x is no tensor")
        assert isinstance(x, torch.Tensor)
        return x + 1


class Noted(nn.Module):
    """An attribute that TorchScript has no type for, or not."""

    def __init__(self, noted=False):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        if noted:
            self.note = {1: object()}

    def forward(self, x):
        if hasattr(self, "note"):
            return self.linear(x) * 2
        return self.linear(x)


@program(floats(3, 4), init=(False, True))
@program(floats(3, 4), init=(True, False))
class NotedOrNot(nn.Module):
    """Two modules of one type to TorchScript."""

    def __init__(self, first, second):
        super().__init__()
        self.a, self.b = Noted(first), Noted(second)

    def forward(self, x):
        return self.a(x) - self.b(x)


@program(floats(3, 4))
class HasAttributes(nn.Module):
    """Of layers, whose inside is not shown to TorchScript."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(4, 4, 1), nn.Linear(4, 4)
        self.a.note, self.b.tag = object(), "x"

    def forward(self, x):
        if hasattr(self.b, "tag"):
            x = x + 1
        if hasattr(self.a, "note") and not hasattr(self.a, "in_features"):
            x = x * 2
        if hasattr(self.b, "in_features") and not hasattr(self.b, "missing"):
            x = x * 5
        if getattr(self, "a", None) is not None:
            x = x + 1
        return self.b(x) * getattr(self.b, "in_features", 1) * len(self.b.tag)


@program(floats(3, 4))
class Classes(nn.Module):
    def __init__(self):
        super().__init__()
        self.ops = nn.ModuleList([nn.ReLU(), nn.Linear(4, 4), nn.Sequential(nn.ReLU())])
        self.one = nn.Linear(4, 4)

    def forward(self, x):
        if isinstance(self.one, nn.Linear | nn.Conv2d):
            x = x * 3
        if isinstance(self.ops[1], nn.Linear):
            x = x * 7
        if not isinstance(self.ops[2], nn.ReLU):
            x = x * 7
        if type(self.one) is nn.Linear and type(self.ops[0]) is not nn.Linear:
            x = x * 2
        return self.ops[2](self.one(x)) * len(self.ops)


@program(floats(3, 4))
class SameInEachRound(nn.Module):
    def __init__(self):
        super().__init__()
        self.ops = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x):
        for op in self.ops:
            if isinstance(op, nn.Linear):
                x = op(x) * 2
            if hasattr(op, "running_mean"):
                x = x + 1
        return x


@program(floats(3, 4), grade="shell")
class OtherInEachRound(nn.Module):
    def __init__(self):
        super().__init__()
        self.ops = nn.ModuleList([nn.ReLU(), nn.Linear(4, 4), nn.Sequential(nn.ReLU())])

    def forward(self, x):
        for i, op in enumerate(self.ops):
            x = op(x) * (2 + i) if isinstance(op, nn.Linear) else op(x)
        return x


@program(floats(3, 4), grade="shell")
class AsksForItsPast(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        if not hasattr(self, "memory"):
            self.memory = 2.0
        return self.linear(x) * self.memory
