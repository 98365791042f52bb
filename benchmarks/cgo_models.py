"""The families of models that fusing is measured on, as users would write them."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from runner import nn

OPERATIONS = ("none", "skip", "conv1", "conv3", "pool")
EDGES = tuple(f"edge{j}_{i}" for i in range(1, 4) for j in range(i))  # labels of a cell's choices


@nn.model_wrapper
class Mlp(nn.Module):
    """Linear layers of these sizes with ReLU between them."""

    def __init__(self, sizes: Sequence[int] = (64, 32, 32, 10)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise(sizes):
            layers += [nn.Linear(c_in, c_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))  # (N, C, H, W) -> (N, classes)


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Convolution without bias, and normalization."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(c_out)]


def head(width: int, classes: int = 10) -> nn.Sequential:
    """(N, width, H, W) -> (N, classes)"""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


@nn.model_wrapper
class Cnn(nn.Module):
    """Blocks of convolution, normalization, ReLU and pooling."""

    def __init__(self, channels: int = 1, widths: Sequence[int] = (8, 16)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in zip((channels, *widths), widths, strict=False):
            layers += [*conv_bn(c_in, c_out, 3), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers)
        self.head = head(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


@nn.model_wrapper
class Chain(nn.Module):
    """Four blocks in a row, each with a kernel size of its own."""

    def __init__(self, width: int = 8, kernels: Sequence[int] = (1, 3, 5)) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(1, width, 3), nn.ReLU())
        self.blocks = nn.Sequential(*(self._block(width, kernels, i) for i in range(4)))
        self.head = head(width)

    @staticmethod
    def _block(width: int, kernels: Sequence[int], place: int) -> nn.Module:
        def make(kernel: int) -> nn.Module:
            return nn.Sequential(*conv_bn(width, width, kernel), nn.ReLU())

        candidates = {f"conv{kernel}": partial(make, kernel) for kernel in kernels}
        return nn.LayerChoice(candidates, label=f"block{place}")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


class Zero(nn.Module):
    """What NAS-Bench-201 has in place of an edge that is left out."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul(0.0)


def _operation(name: str, width: int) -> nn.Module:
    if name == "pool":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    if name in ("none", "skip"):
        return Zero() if name == "none" else nn.Identity()
    return nn.Sequential(nn.ReLU(), *conv_bn(width, width, int(name[-1])))


class Cell(nn.Module):
    """Four nodes; each is the sum of operations on all nodes before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.LayerChoice(
                {name: partial(_operation, name, width) for name in OPERATIONS}, label=edge
            )
            for edge in EDGES
        )

    def forward(self, x: Tensor) -> Tensor:
        first = self.edges[0](x)
        second = self.edges[1](x) + self.edges[2](first)
        return self.edges[3](x) + self.edges[4](first) + self.edges[5](second)


class Reduction(nn.Module):
    """The residual block between two stages."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        first = [nn.ReLU(), *conv_bn(c_in, c_out, 3, 2)]
        self.body = nn.Sequential(*first, nn.ReLU(), *conv_bn(c_out, c_out, 3))
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.skip(x)


@nn.model_wrapper
class CellNet(nn.Module):
    """The space of NAS-Bench-201 (https://arxiv.org/abs/2001.00326), with one cell a stage. All
    cells share their choices."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *conv_bn(1, width, 3),
            Cell(width),
            Reduction(width, 2 * width),
            Cell(2 * width),
            Reduction(2 * width, 4 * width),
            Cell(4 * width),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
        )
        self.head = head(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


class Block(nn.Module):
    """Attention and a feed-forward part, each normalized before and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


@nn.model_wrapper
class Transformer(nn.Module):
    """Two blocks over the rows of an image."""

    def __init__(self, size: int = 8, width: int = 128, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(size, width)
        self.position = nn.Parameter(torch.zeros(size, width))
        self.blocks = nn.Sequential(Block(width, heads), Block(width, heads))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.squeeze(1)) + self.position  # (N, 1, H, W) -> (N, H, width)
        return self.head(self.blocks(x).mean(1))


@nn.model_wrapper
class Tuned(nn.Module):
    """A backbone that is not trained, and a head that costs about a fifth of it."""

    def __init__(self, width: int = 48, hidden: int = 64) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.backbone.requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))
