"""Models whose widths depend on each other in one way each. Images are (N, 3, 8, 8)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions whose outputs are added, a gate, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 16, 1)
        self.outer = nn.Conv2d(16, 8, 1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = x + self.outer(torch.relu(self.inner(x)))
        x = x * self.gate(x)
        return self.head(x.mean((2, 3)))


class Depthwise(nn.Module):
    """A depthwise and a grouped convolution follow the one before them."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(3, 12, 1)
        self.depth = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.act = nn.PReLU(12)
        self.grouped = nn.Conv2d(12, 24, 3, groups=4)
        self.norm = nn.GroupNorm(4, 24)
        self.head = nn.Linear(24 * 6 * 6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.depth(self.expand(x)))
        return self.head(torch.flatten(self.norm(self.grouped(x)), 1))


class Concat(nn.Module):
    """Two branches side by side, then halves of what comes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 4, 1)
        self.right = nn.Conv2d(3, 6, 1)
        self.norm = nn.BatchNorm2d(10)
        self.mix = nn.Conv2d(10, 16, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(torch.cat([self.left(x), self.right(x)], 1))
        a, b = self.mix(x).chunk(2, 1)
        return self.head((a * torch.sigmoid(b)).mean((2, 3)))


class Attention(nn.Module):
    """Tokens with a learned position, attention with numbers in its code, and a scale."""

    def __init__(self, dim: int = 12, heads: int = 3) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.embed = nn.Conv2d(3, dim, 4, stride=4)
        self.place = nn.Parameter(torch.zeros(1, 4, dim))
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.scale = nn.Parameter(0.1 * torch.ones(dim))
        self.head = nn.Linear(dim, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2) + self.place
        n, t, c = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, t, 3, self.heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        x = x + self.scale * self.proj(y)
        return self.head(x.mean(1))


class Shared(nn.Module):
    """One convolution is used twice, on what two others give."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 6, 1)
        self.two = nn.Conv2d(3, 6, 1)
        self.both = nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.both(self.one(x)) + self.both(self.two(x))
        return self.head(y.mean((2, 3)))


class Scale(nn.Module):
    """A layer that is made by its constructor, and holds its weight itself."""

    def __init__(self, dim: int, value: float = 0.5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(value * torch.ones(dim))
        self.register_buffer("seen", torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma + self.seen


class Custom(nn.Module):
    """Layers of one's own: seen from outside, they take another number."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(192, 10)
        self.scale = Scale(10, value=0.25)
        self.head = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.scale(self.embed(x.flatten(1))))


class Written(nn.Module):
    """Says in its code what is wanted, and adds to what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.skip = nn.Conv2d(3, 3, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x + self.skip(x))
        if y.shape[1] != 8:
            raise ValueError("eight channels are wanted")
        return self.head(y.mean((2, 3)))


class Pooled(nn.Module):
    """Makes images smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.pool = nn.AdaptiveAvgPool2d((2, 2))
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.conv(x)).flatten(1))


class Larger(nn.Module):
    """A transposed convolution follows the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.up(torch.relu(self.conv(x))).mean((2, 3)))


class Thirds(nn.Module):
    """A third of what a layer gives is as wide as a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(192, 21)
        self.scale = nn.Parameter(torch.ones(7))
        self.head = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.flatten(1)).split(7, 1)
        return self.head((q * k + v) * self.scale)


class Block(nn.Module):
    """Adds what two convolutions make to what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(4, 8, 1)
        self.outer = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(torch.relu(self.inner(x)))


class Stack(nn.Module):
    """Two blocks in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Tied(nn.Module):
    """Two layers have one weight, and are not beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(192, 6)
        self.one = nn.Linear(6, 6)
        self.two = nn.Linear(6, 6)
        self.two.weight = self.one.weight
        self.next = nn.Linear(6, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        return self.head(self.two(self.next(self.one(x))))


class Encoded(nn.Module):
    """A layer that is given another module."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = nn.Linear(8, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.out(self.encoder(self.embed(x).flatten(2).transpose(1, 2)).mean(1)))


class Recurrent(nn.Module):
    """Rows one after another, by a layer whose constructor does not name its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(24, 6)
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        rows, _ = self.lstm(self.embed(x.transpose(1, 2).flatten(2)))
        return self.head(rows.mean(1))


class Gated(nn.Module):
    """One half of what a layer gives opens the other."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(192, 16)
        self.sum = nn.Linear(8, 12)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.both(x.flatten(1)).chunk(2, -1)
        u, v = self.sum(F.silu(a) * b).split(6, 1)
        return self.head(u + v)


class Turned(nn.Module):
    """Channels go backwards to the next layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.next = nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.next(self.conv(x).flip(1)).mean((2, 3)))


class Factors(nn.Module):
    """A factor for each channel, as a layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Scaled(nn.Module):
    """Channels are scaled by a parameter of several dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.factors = Factors(6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.factors(self.conv(x)).mean((2, 3)))


class Grouped(nn.Module):
    """Convolutions each of whose groups sees some channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 1)
        self.parts = nn.Conv2d(12, 8, 3, padding=1, groups=4)
        self.more = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.more(torch.relu(self.parts(self.conv(x)))).mean((2, 3)))


class Opaque(nn.Module):
    """Beyond TorchScript, with code that asks for classes, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 8, 1), nn.Identity(), nn.Conv2d(8, 8, 1)])
        self.bias = nn.Parameter(torch.zeros(1, 8, 1, 1))
        self.head = nn.Linear(8, 5)

    def forward(self, *images: Tensor) -> Tensor:
        x, before = images[0], None
        for layer in self.layers:
            if not isinstance(layer, nn.Identity):
                before, x = x, layer(x)
        return self.head((x + before + self.bias).mean((2, 3)))


MODELS = (Residual, Depthwise, Concat, Attention, Shared, Custom, Larger, Opaque, Recurrent)
