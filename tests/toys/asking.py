"""Spaces whose forward asks what a choice gave, or that TorchScript sees less than all of."""

import torch
from torch import Tensor

from runner import nn
from runner.nn import InputChoice, LayerChoice, ValueChoice


class MaybeNothing(nn.Module):
    """An empty subset of inputs gives None."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(2, None, label="pick")
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pick([self.one(x), self.two(x)])
        if y is None:
            y = x
        return y


class HoldsMaybeNothing(nn.Module):
    """The asking is done further down, with another choice beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MaybeNothing()
        self.head = nn.Linear(3, ValueChoice([2, 4], label="width"))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(x)) * 2


class Splits(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, x * 2]


class MaybeList(nn.Module):
    """One of its candidates gives a list."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = LayerChoice([nn.Identity(), Splits()], label="layer")

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if isinstance(y, list):
            y = y[0] * 5
        return y


class Tail(nn.Module):
    def forward(self, y):
        return y[0] * 5 if isinstance(y, list) else y


class HandsListOn(nn.Module):
    """What asks is called behind the choice: by its parent, or by a container."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = LayerChoice([nn.Identity(), Splits()], label="layer")
        self.tail = Tail()
        self.both = nn.Sequential(LayerChoice([Splits(), nn.ReLU()], label="again"), Tail())

    def forward(self, x: Tensor) -> Tensor:
        return self.both(self.tail(self.layer(x)))


class AsksOther(nn.Module):
    """Asks about what has nothing to do with its choice, and about what it is sure of."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = LayerChoice([nn.Identity(), nn.ReLU()], label="layer")
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        x = self.layer(x)
        if shift is not None:
            x = x + shift
        if self.scale is not None:
            x = x * self.scale
        assert isinstance(x, Tensor)
        return x


class Frozen(nn.Module):
    """Its norm stays in eval mode; an ancestor of a choice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, ValueChoice([2, 4], label="width"))

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x))


MODES: list[bool] = []


class Logged(Frozen):
    """Its train does more than source of its own can."""

    def train(self, mode: bool = True) -> "Logged":
        MODES.append(mode)
        super().train(mode)
        return self


class Part(nn.Module):
    """Has a method that those around it call."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.act = LayerChoice([nn.ReLU(), nn.Tanh()], label="act")

    def freeze(self) -> None:
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(x))


class FreezesPart(nn.Module):
    """Calls a method of a part, and asks for its class."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(Part(), nn.Linear(3, 3))

    def train(self, mode: bool = True) -> "FreezesPart":
        super().train(mode)
        for part in self.parts:
            if isinstance(part, Part):
                part.freeze()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.parts(x)


class Unfilled(nn.Module):
    """A lazy layer that nobody fills."""

    def __init__(self) -> None:
        super().__init__()
        self.mid = nn.Linear(3, ValueChoice([2, 4], label="width"))
        self.head = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mid(x))


class Filled(Unfilled):
    """Fills it with a run of its own."""

    def __init__(self) -> None:
        super().__init__()
        self(torch.zeros(2, 3))


class SometimesUnfilled(nn.Module):
    """A lazy layer is one of its candidates."""

    def __init__(self) -> None:
        super().__init__()
        self.head = LayerChoice([nn.Linear(3, 3), nn.LazyLinear(3)], label="head")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


class Rest(nn.Module):
    """Beyond TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, *xs: Tensor) -> Tensor:
        return self.head(xs[0])


class Spare(nn.Module):
    """One of its candidates, not the first, is beyond TorchScript; so are two alike."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            LayerChoice([nn.Linear(3, 3), Rest()], label=f"layer{i}") for i in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def shifted(x: Tensor) -> Tensor:
    return x + 1


class UsesFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, ValueChoice([2, 4], label="width"))

    def forward(self, x: Tensor) -> Tensor:
        return shifted(self.head(x))


class Doubled(nn.Module):
    """What it gives is doubled by a hook, which is no part of a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, ValueChoice([2, 4], label="width"))
        self.head.register_forward_hook(lambda module, inputs, output: 2 * output)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)
