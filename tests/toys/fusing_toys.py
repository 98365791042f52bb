"""Small models whose parts are to be fused, or must not be."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attends(nn.Module):
    """(N, T, 8), with or without a mask."""

    def __init__(self, masked: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.inner = nn.MultiheadAttention(8, 2, dropout=dropout, batch_first=True)
        self.masked = masked
        self.register_buffer("mask", torch.ones(4, 4).triu(1).bool())

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        if self.masked:
            y = self.inner(y, y, y, need_weights=False, attn_mask=self.mask)[0]
        else:
            y = self.inner(y, y, y, need_weights=False)[0]
        return x + y


class Weighs(nn.Module):
    """Attention whose weights are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y, weights = self.inner(x, x, x, need_weights=True)
        return y + weights.sum()


class ByHand(nn.Module):
    """Attention in functions: linear, chunk, view with the batch size, permute, matmul, softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(8, 24)
        self.outside = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        q, k, v = (
            part.view(n, t, 2, width // 2).permute(0, 2, 1, 3)
            for part in self.inside(x).chunk(3, -1)
        )
        weights = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        y = torch.matmul(weights, v).transpose(1, 2).reshape(n, t, width)
        return self.outside(y).mean(1)


class Embeds(nn.Module):
    """(N, 4, 8): a token in front, and an embedding of the position."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.position = nn.Parameter(torch.randn(5, 8))
        self.inner = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.token.expand(x.size(0), -1, -1), x], 1) + self.position
        return self.inner(y)[:, 0]


class Scales(nn.Module):
    """Scales of channels: (N, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.gamma = nn.Parameter(torch.randn(4, 1, 1))
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (y * self.gamma + self.weight * y.relu()).mean((2, 3))


class Branches(nn.Module):
    """cat, chunk, getitem, stack, add, and a reduction over examples, which is no model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        one, two = torch.cat([a, b], 1).chunk(2, 1)
        y = torch.stack([one, two], 1)
        y = torch.cat([y[:, 0], y[:, 1] - y[:, 1].mean(0)], -1)
        return self.last(y)


class Shared(nn.Module):
    """A layer that is used twice, at several depths."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x)).relu()
        return self.last(self.norm(self.first(y)) + x)


class Twins(nn.Module):
    """A normalization that sees two branches, of which the one it sees last is ready first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.a = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.b = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        a = self.norm(self.a(x))
        return a + self.b(self.norm(x))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.last = nn.Linear(4, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(self.first(x).tanh()))


class UsesWeight(nn.Module):
    """A convolution whose weight is used beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv(x).tanh() * self.conv.weight.abs().mean((1, 2, 3)).view(-1, 1, 1)).mean(
            (2, 3)
        )


class Looks(nn.Module):
    """A part with control flow that follows the data."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = x * 2
        return self.inner(x)


class Opaque(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.looks = Looks()
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.looks(self.first(x)).relu())


class Deep(nn.Module):
    """Stochastic depth, and dropout behind it: both draw."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x).relu()
        if self.training:
            y = y * torch.bernoulli(torch.full_like(y[:, :1], 0.7)) / 0.7
        y = self.drop(y + x)
        return self.last(F.dropout(y, 0.2, self.training))


class Noisy(nn.Module):
    """Noise and dropout in branches of unequal length."""

    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.longer = nn.Sequential(*(nn.Linear(4, 4) for _ in range(depth)))
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        a = self.drop(y)
        b = torch.randn_like(y) + self.longer(y)
        return self.last(a + self.drop(b))


class Idle(nn.Module):
    """Parameters that no gradient reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu())


class Frozen(nn.Module):
    """A frozen part in front of a head. `seed` is that of the part."""

    def __init__(self, seed: int, evaluated: bool = True) -> None:
        super().__init__()
        before = torch.get_rng_state()
        torch.manual_seed(seed)
        self.backbone = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten()
        )
        torch.set_rng_state(before)
        self.backbone.requires_grad_(False)
        self.evaluated = evaluated
        self.head = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        if self.evaluated:
            self.backbone.eval()
        return self


class Pools(nn.Module):
    """Layers whose arguments do not all show in their description."""

    def __init__(self, counted: bool = True, aligned: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=counted)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=aligned)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.pool(self.conv(x))).square().mean((2, 3))


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = y + 1
        z += x
        return self.last(z * self.act(y)) + y.sum(1, keepdim=True)


class GivesTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.first(x)
        return y, y * 2


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.GRU(8, 4, batch_first=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(x)[0][:, -1])


class Watched(nn.Module):
    """A branch that only its normalization sees: its statistics change, and no gradient comes.
    Where `used`, the branch is part of the result."""

    def __init__(self, used: bool, detached: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3)
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.used, self.detached = used, detached

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        z = self.branch(y)
        if self.detached:
            z = z.detach()
        return (y + z if self.used else y).flatten(1)


class Sum(nn.Module):
    """Of a tensor with itself, or with another one of its shape."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3)
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.one(x), self.other(x)
        b = a if self.twice else b
        return torch.cat([(a + b).flatten(1), torch.stack([a, b]).mean(0).flatten(1)], 1)
