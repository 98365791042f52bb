"""Spaces that refuse samples of theirs, each in another place or by another question."""

import torch

from runner import nn
from runner.errors import Refused

SIZE = 2  # features in and out, everywhere


class _Scored(nn.Module):
    """What `toy.Arithmetic` asks of a model."""

    width, kernel, skip = 1, 1, False

    def forward(self, x):
        return self.net(x)


@nn.model_wrapper
class Cells(_Scored):
    """As NAS-Bench-101 (https://arxiv.org/abs/1902.09635): any graph of `nodes` nodes with at most
    `most` edges on which every node lies between the input and the output."""

    def __init__(self, nodes: int = 4, most: int = 4, ops: int = 2) -> None:
        super().__init__()
        pairs = [(i, j) for j in range(nodes) for i in range(j)]
        edges = {(i, j): nn.ValueChoice([0, 1], label=f"edge_{i}_{j}") for i, j in pairs}
        self.matrix = [[int(edges.get((i, j), 0)) for j in range(nodes)] for i in range(nodes)]
        self.width = sum(map(sum, self.matrix))
        if self.width > most:
            nn.refuse(f"{self.width} edges are more than {most}")
        if not self._is_connected():
            nn.refuse("a node lies on no way from the input to the output")
        kinds = {"linear": lambda: nn.Linear(SIZE, SIZE), "relu": nn.ReLU, "tanh": nn.Tanh}
        some = dict([*kinds.items()][:ops])
        inner = range(1, nodes - 1)
        self.ops = nn.ModuleList([nn.LayerChoice(some, label=f"op_{i}") for i in inner])
        self.out = nn.Linear(SIZE, SIZE)

    def _is_connected(self) -> bool:
        last = len(self.matrix) - 1
        come = all(any(row[j] for row in self.matrix[:j]) for j in range(1, last + 1))
        return come and all(any(self.matrix[i]) for i in range(last))

    def forward(self, x):
        states = [x]
        for j in range(1, len(self.matrix)):
            total = sum(states[i] for i in range(j) if self.matrix[i][j])
            states.append(self.ops[j - 1](total) if j <= len(self.ops) else self.out(total))
        return states[-1] * (self.width + self.kernel - self.skip)  # which the score reads


@nn.model_wrapper
class Counted(_Scored):
    """By its number of parameters, which needs no value: the choices can be left open."""

    def __init__(self) -> None:
        super().__init__()
        width = nn.ValueChoice([4, 40, 8, 16], label="width")
        self.net = nn.Sequential(nn.Linear(SIZE, width), nn.ReLU(), nn.Linear(width, SIZE))
        if sum(p.numel() for p in self.parameters()) > 100:
            nn.refuse("more than 100 parameters")


@nn.model_wrapper
class ByHand(Counted):
    """With the exception itself, as a helper function raises it."""

    def __init__(self) -> None:
        super().__init__()
        _check(self.net[0].out_features)


def _check(width: int) -> None:
    if width == 8:
        raise Refused("a width of 8")


class _Part(nn.Module):
    def __init__(self, kernel: int) -> None:
        super().__init__()
        if kernel == 3:
            nn.refuse("a kernel of 3 in a part")
        self.layer = nn.Linear(SIZE, SIZE)

    def forward(self, x):
        return self.layer(x)


@nn.model_wrapper
class Nested(_Scored):
    """In a module inside, before all is asked, and in a candidate given as a callable."""

    def __init__(self) -> None:
        super().__init__()
        kernel = nn.ValueChoice([3, 5], label="kernel")
        part = _Part(kernel)
        act = nn.LayerChoice([nn.ReLU, self._never, nn.Tanh], label="act")
        self.net = nn.Sequential(part, act)

    @staticmethod
    def _never() -> nn.Module:
        nn.refuse("an act\nthat never fits")


@nn.model_wrapper
class Inside(_Scored):
    """By what a first run of it gives while it is built."""

    def __init__(self) -> None:
        super().__init__()
        size = nn.ValueChoice([2, 3], label="size")
        self.net = nn.Linear(SIZE, size)
        with torch.no_grad():
            self(torch.zeros(1, SIZE))

    def forward(self, x):
        y = self.net(x)
        if self.training and y.shape[1] == 3:
            nn.refuse("3 features do not fit")
        return y


@nn.model_wrapper
class Nobody(_Scored):
    """Every sample."""

    def __init__(self, wide: bool = False) -> None:
        super().__init__()
        nn.IntChoice(1, 10**6 if wide else 3, label="width")
        nn.refuse("nothing fits")


class Always(_Scored):
    """Before anything is asked."""

    def __init__(self) -> None:
        super().__init__()
        nn.refuse("no model at all")


class Plain(_Scored):
    """A model to be mutated, which itself leaves a choice open, and refuses one value of it."""

    def __init__(self) -> None:
        super().__init__()
        width = nn.ValueChoice([4, 6, 8], label="width")
        if width == 4:
            nn.refuse("a width of 4")
        self.net = nn.Sequential(nn.Linear(SIZE, width), nn.ReLU(), nn.Linear(width, SIZE))


@nn.model_wrapper
class TooLate(_Scored):
    """While it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(SIZE, nn.ValueChoice([2, 3], label="size"))

    def forward(self, x):
        nn.refuse("this batch")
