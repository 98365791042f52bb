"""Values of choices, called and read in every place that a model may do so."""

import math

import torch
import torch.nn.functional as F

from runner import nn

WIDTH = 4
ODD = {"a": [1, "b"]}  # of two types, which TorchScript does not read


def kept(x):
    """Its caller cannot be read, and stays as it is."""
    return x if ODD["a"][1] == "b" else None


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = self.value()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def value(self):
        return nn.ValueChoice([0.5, 2.0, 3.0], label="p")

    def forward(self, x):
        return self.layer(x) * self.p()


class InGraph(_Model):
    pass


class InKept(_Model):
    def forward(self, x):
        return kept(self.layer(x)) * (lambda v: v)(self.p())


class AsVariable(_Model):
    def forward(self, x):
        p = self.p
        return self.layer(x) * p()


class Computed(_Model):
    def value(self):
        return nn.ValueChoice([1, 2, 3], label="p") * 2 + 1


class ComputedInForward(_Model):
    def forward(self, x):
        return kept(self.layer(x)) * (self.p * 2)()


class Largest(_Model):
    def value(self):
        return nn.ValueChoice.max(nn.ValueChoice([1, 3], label="p"), 2)


class Rounded(_Model):
    def value(self):
        return round(nn.FloatChoice(1.0, 9.0, label="p")) // 2


class Ranged(_Model):
    def value(self):
        return nn.IntChoice(1, 5, label="p")


class OfTuple(_Model):
    def value(self):
        return nn.ValueChoice([(1, 2), (3, 4)], label="p")

    def forward(self, x):
        return kept(self.layer(x)) * self.p()[1] + self.p[0]


class ItemOfTuple(_Model):
    def value(self):
        return nn.ValueChoice([(1, 2), (3, 4)], label="p")[1]


class Named(_Model):
    def value(self):
        return nn.ValueChoice(["relu", "tanh"], label="p")

    def forward(self, x):
        return getattr(torch, self.p())(kept(self.layer(x)))


class InInit(_Model):
    def __init__(self) -> None:
        super().__init__()
        width = nn.ValueChoice([3, 5], label="width")
        self.net = nn.Sequential(nn.Linear(WIDTH, width()), nn.ReLU(), nn.Linear(width, WIDTH))

    def forward(self, x):
        return self.net(x) * self.p()


class ByFunctional(_Model):
    def value(self):
        return nn.ValueChoice([0.1, 0.9], label="p")

    def forward(self, x):
        return F.dropout(self.layer(x), self.p(), self.training)


def _times(x, value):
    return x * value()


class InHelper(_Model):
    def forward(self, x):
        return _times(self.layer(x), self.p)


class InMethod(_Model):
    def times(self, x):
        return x * self.p()

    def forward(self, x):
        return self.times(kept(self.layer(x)))


class _Child(nn.Module):
    def __init__(self, p) -> None:
        super().__init__()
        self.p = p
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.layer(x) * self.p()


class _KeptChild(_Child):
    def forward(self, x):
        return kept(self.layer(x)) * self.p()


@nn.basic_unit
class _Basic(_Child):
    pass


@nn.basic_unit
class _OwnBasic(nn.Module):
    """A basic unit that leaves a choice of its own open."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.ValueChoice([2.0, 3.0], label="own")

    def forward(self, x):
        return x * self.p()


class _Outer(nn.Module):
    def __init__(self, p) -> None:
        super().__init__()
        self.inner = _KeptChild(p)

    def forward(self, x):
        return self.inner(x)


@nn.basic_unit
class _Deep(nn.Module):
    def __init__(self, options) -> None:
        super().__init__()
        self.inner = _KeptChild(options["p"][0])

    def forward(self, x):
        return self.inner(x)


class InChild(_Model):
    child = _Child

    def __init__(self) -> None:
        super().__init__()
        self.inner = self.child(self.p)

    def forward(self, x):
        return self.inner(self.layer(x))


class InKeptChild(InChild):
    child = _KeptChild


class InBasic(InChild):
    child = _Basic


class InOuter(InChild):
    child = _Outer


class InDeep(InChild):
    @staticmethod
    def child(p):
        return _Deep({"p": [p * 2]})


class InOwnBasic(_Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner = _OwnBasic()

    def forward(self, x):
        return self.inner(self.layer(x)) * self.p()


class OfChild(InChild):
    """A forward that was not read calls what a child has."""

    def forward(self, x):
        return kept(self.inner(self.layer(x))) * self.inner.p()


class InTraining(_Model):
    """A method that no forward calls."""

    def train(self, mode: bool = True):
        self.rate = self.p() if mode else 1.0
        return super().train(mode)

    def forward(self, x):
        return self.layer(x) * self.p


class Plain(_Model):
    """All other ways to read one, none of which calls it."""

    def value(self):
        return nn.ValueChoice([1, 2, 3], label="p")

    def forward(self, x):
        y = kept(self.layer(x)) * (self.p + 1) + float(self.p) + int(self.p) / 2
        if self.p > 1:
            y = y - [10, 20, 30, 40][self.p]
        for i in range(self.p):
            y = y + i
        return torch.cat([y, torch.zeros(len(x), self.p()), x[:, : self.p]], 1) * math.sqrt(self.p)


class PlainInGraph(_Model):
    def value(self):
        return nn.ValueChoice([1, 2, 3], label="p")

    def forward(self, x):
        y = self.layer(x) * (self.p + 1) + float(self.p)
        if self.p > 1:
            y = y - [10, 20, 30, 40][self.p]
        for i in range(self.p):
            y = y + i
        return torch.cat([y, x[:, : self.p]], 1)


class Keyed(_Model):
    def value(self):
        return nn.ValueChoice(["a", "b"], label="p")

    def forward(self, x):
        return kept(self.layer(x)) * {"a": 2, "b": 3}[self.p] + (1 if self.p == "a" else 0)


class OfTwoTypes(_Model):
    """Converted anew for each sample."""

    def value(self):
        return nn.ValueChoice([0.5, 2], label="p")

    def forward(self, x):
        return kept(self.layer(x)) * self.p()


class Needed(InChild):
    """Converted anew for each sample, with what is kept inside."""

    child = _Outer

    def __init__(self) -> None:
        super().__init__()
        self.basic = _Basic(self.p) if self.p > 1 else nn.Identity()

    def forward(self, x):
        return self.basic(self.inner(self.layer(x)))


class _Captured(nn.Module):
    """A function that was made in the constructor knows the choice, and no attribute does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        p = nn.ValueChoice([1, 2, 3], label="q")
        self.function = lambda x: x * p

    def forward(self, x):
        return self.function(self.layer(x))
