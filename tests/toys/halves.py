"""Models whose layers share weights, or meet the parts of others. Images are (N, 3, 8, 8)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Flat(nn.Module):
    """Takes the 192 values of an image: `make` makes the layers, `run` calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.make(192)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x.flatten(1))


class Film(nn.Module):
    """Scale and shift of what a convolution gives are the halves of another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.film = nn.Linear(3, 16)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        s, t = self.film(x.mean((2, 3))).chunk(2, dim=1)
        y = self.conv(x) * s[:, :, None, None] + t[:, :, None, None]
        return self.head(F.relu(y).mean((2, 3)))


class Squeezed(nn.Module):
    """Squeeze and excitation with a shift; another convolution follows a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.norm = nn.BatchNorm2d(8)
        self.down = nn.Linear(8, 4)
        self.up = nn.Linear(4, 16)
        self.next = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        s, b = self.up(self.down(y.mean((2, 3))).relu()).view(-1, 2, 8, 1, 1).unbind(1)
        return self.head(self.next(y * s.sigmoid() + b).relu().mean((2, 3)))


class Halves(Flat):
    """Halves of one layer, joined in some way, meet another layer."""

    way = "two"

    def make(self, n: int) -> None:
        self.a = nn.Linear(n, 18 if self.way == "three" else 12)
        self.b = nn.Linear(n, 6)
        self.head = nn.Linear(12 if self.way == "cat" else 6, 5)

    def run(self, x: Tensor) -> Tensor:
        return self.head(self.join(self.a(x), self.b(x)))

    def join(self, y: Tensor, z: Tensor) -> Tensor:
        u, v = y.chunk(2, 1)
        return u * v.sigmoid() + z


class Split(Halves):
    def join(self, y: Tensor, z: Tensor) -> Tensor:
        u, v = y.split(6, 1)
        return u * torch.tanh(v) * z


class TensorSplit(Halves):
    def join(self, y: Tensor, z: Tensor) -> Tensor:
        u, v = torch.tensor_split(y, 2, dim=1)
        return u * torch.tanh(v) * z


class Glu(Halves):
    def join(self, y: Tensor, z: Tensor) -> Tensor:
        return F.glu(y, dim=1) + z


class Unbound(Halves):
    def join(self, y: Tensor, z: Tensor) -> Tensor:
        u, v = y.reshape(-1, 2, 6).unbind(1)
        return u * v.sigmoid() + z


class Largest(Halves):
    def join(self, y: Tensor, z: Tensor) -> Tensor:
        return torch.maximum(*y.chunk(2, 1)) - z


class Pairs(Halves):
    def join(self, y: Tensor, z: Tensor) -> Tensor:
        return y.view(-1, 6, 2).amax(2) - z


class Thirds(Halves):
    way = "three"

    def join(self, y: Tensor, z: Tensor) -> Tensor:
        u, v, w = y.split(6, 1)
        return u * v.sigmoid() + w * z


class Turned(Halves):
    way = "cat"

    def join(self, y: Tensor, z: Tensor) -> Tensor:
        u, v = y.chunk(2, 1)
        return torch.cat([v * z, u.relu()], 1)


class Joined(Halves):
    way = "cat"

    def join(self, y: Tensor, z: Tensor) -> Tensor:
        u, v = y.chunk(2, 1)
        return torch.cat([u + v, z], 1)


class GroupNormed(nn.Module):
    """A norm deals with groups of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.norm = nn.GroupNorm(4, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


class LayerNormed(Flat):
    """A norm over all channels, then halves."""

    def make(self, n: int) -> None:
        self.a, self.norm, self.head = nn.Linear(n, 12), nn.LayerNorm(12), nn.Linear(6, 5)

    def run(self, x: Tensor) -> Tensor:
        u, v = self.norm(self.a(x)).chunk(2, 1)
        return self.head(u * v)


class Tied(Flat):
    """Two layers of one weight, one after the other."""

    def make(self, n: int) -> None:
        self.stem, self.a, self.b = nn.Linear(n, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.b.weight = self.a.weight
        self.head = nn.Linear(6, 5)

    def run(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(self.stem(x)).relu()))


class TiedApart(Flat):
    """Two layers of one weight, read by two others."""

    def make(self, n: int) -> None:
        self.stem, self.a, self.b = nn.Linear(n, 6), nn.Linear(6, 8), nn.Linear(6, 8)
        self.b.weight = self.a.weight
        self.one, self.two = nn.Linear(8, 6), nn.Linear(8, 6)
        self.head = nn.Linear(6, 5)

    def run(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.one(self.a(x)) + self.two(self.b(x).relu()))


class TiedVectors(Flat):
    """A bias and a scale that others have, too."""

    def make(self, n: int) -> None:
        self.a, self.b, self.scale = nn.Linear(n, 6), nn.Linear(6, 6), nn.Parameter(torch.ones(6))
        self.norm, self.more = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
        self.b.bias, self.more.weight = self.a.bias, self.norm.weight
        self.head = nn.Linear(6, 5)

    def run(self, x: Tensor) -> Tensor:
        x = self.norm(self.a(x)).relu() * self.scale
        return self.head(self.more(self.b(x)))


class SharedTwice(Flat):
    """One module under two names, and called in a loop."""

    def make(self, n: int) -> None:
        self.stem, self.a = nn.Linear(n, 6), nn.Linear(6, 6)
        self.b, self.head = self.a, nn.Linear(6, 5)

    def run(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(2):
            x = self.a(x).relu()
        return self.head(self.b(x))


class Turns(Flat):
    """A parameter of the model's own, as it is and turned."""

    def make(self, n: int) -> None:
        self.a, self.head = nn.Linear(n, 6), nn.Linear(4, 5)
        self.w, self.v = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(6, 4))

    def run(self, x: Tensor) -> Tensor:
        y = self.a(x)
        return self.head(y @ self.w.t() + y.relu() @ self.v)


class Gates(Flat):
    """Recurrent layers: a bidirectional one of two layers, and cells in a row."""

    def make(self, n: int) -> None:
        self.rnn = nn.LSTM(24, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.cell, self.head = nn.GRUCell(8, 6), nn.Linear(6, 5)

    def run(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x.view(-1, 8, 24))
        h = self.cell(y[:, 0])
        return self.head(self.cell(y[:, -1], h))


class Autoencoder(Flat):
    """What makes channels reads them, too: copies of them cannot be shared out."""

    def make(self, n: int) -> None:
        self.enc, self.mid, self.head = nn.Linear(n, 8), nn.Linear(8, 6), nn.Linear(8, 5)

    def run(self, x: Tensor) -> Tensor:
        return self.head(F.linear(self.mid(self.enc(x).relu()), self.mid.weight.t()))


class Normalized(Flat):
    """A sum over channels in code: copies of them count."""

    def make(self, n: int) -> None:
        self.a, self.head = nn.Linear(n, 6), nn.Linear(6, 5)

    def run(self, x: Tensor) -> Tensor:
        return self.head(F.normalize(self.a(x), dim=1))


class Scores(Flat):
    """Channels of two layers are multiplied with each other, and added up."""

    def make(self, n: int) -> None:
        self.q, self.k, self.head = nn.Linear(24, 6), nn.Linear(24, 6), nn.Linear(8, 5)

    def run(self, x: Tensor) -> Tensor:
        x = x.view(-1, 8, 24)
        return self.head((self.q(x) @ self.k(x).transpose(1, 2)).mean(1))


KEPT = (Film, Squeezed, Halves, Split, TensorSplit, Glu, Unbound, Largest, Pairs, Thirds, Turned,
        Joined, Tied, TiedApart, TiedVectors, SharedTwice, Turns, Gates)  # fmt: skip
DOUBLED = (GroupNormed, LayerNormed)  # are what they were if twice as wide, or so
TIED = (Tied, TiedApart, TiedVectors)  # some layers of which can only change together
REFUSING = (Pairs, SharedTwice)  # some layers of which cannot have another width
CHANGED = (Autoencoder, Normalized, Scores)
JOINS = (Halves, Split, TensorSplit, Glu, Unbound, Largest, Pairs, Thirds)


class Random(nn.Module):
    """Halves of layers that meet others, one after the other; some of equal weights."""

    def __init__(self, joins: Sequence[int], ties: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.stem = nn.Linear(192, 6)
        self.joins = [JOINS[i] for i in joins]
        self.wide = nn.ModuleList(
            [nn.Linear(6, 18 if join.way == "three" else 12) for join in self.joins]
        )
        self.beside = nn.ModuleList([nn.Linear(6, 6) for _ in joins])
        for i, j in ties:
            if i < len(joins) and j < len(joins):
                self.beside[j].weight = self.beside[i].weight
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        for i, join in enumerate(self.joins):
            x = join.join(self, self.wide[i](x), self.beside[i](x))
        return self.head(x)


class Block(nn.Module):
    """Adds to what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.5), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.act(self.drop(self.conv(x)))


class Blocks(nn.Module):
    """Blocks in a row; with random numbers, infinite ones, or a counter of calls."""

    def __init__(self, noise: bool = False, bad: bool = False, counts: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 5)
        self.noise, self.bad, self.counts = noise, bad, counts
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(self.stem(x)).mean((2, 3))
        if self.counts:
            self.calls += 1
            y = y + self.calls
        if self.bad:
            y = y / 0.0
        y = self.head(y)
        return y + torch.randn_like(y) if self.noise else y
