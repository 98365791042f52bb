"""The networks of NAS-Bench-201 (Dong and Yang 2020, https://arxiv.org/abs/2001.00326), section 2.

Three stages of five equal cells, with 16, 32 and 64 channels, and a residual block of stride 2
between two stages. A node of a cell is the sum of what its edges make of earlier nodes.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

CELLS, CHANNELS, NODES = 5, (16, 32, 64), 4
EDGE = re.compile(r"(\w+)~(\d)")


def conv(kernel: int, inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """ReLU, convolution, batch norm."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), layer, nn.BatchNorm2d(outputs))


@final
class Zero(nn.Module):
    """The edge that is none; gradients go through it, as in the authors' code."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul(0.0)


def operation(name: str, channels: int) -> nn.Module:
    """The module of an edge."""
    match name:
        case "none":
            return Zero()
        case "skip_connect":
            return nn.Identity()
        case "nor_conv_1x1":
            return conv(1, channels, channels)
        case "nor_conv_3x3":
            return conv(3, channels, channels)
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    raise ValueError(name)


@final
class Cell(nn.Module):
    """A cell, as the benchmark writes it: |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."""

    def __init__(self, architecture: str, channels: int) -> None:
        super().__init__()
        nodes = [EDGE.findall(node) for node in architecture.split("+")]
        assert len(nodes) == NODES - 1, architecture
        self.edges = nn.ModuleList(
            nn.ModuleList(operation(name, channels) for name, _ in node) for node in nodes
        )
        self.sources = [[int(source) for _, source in node] for node in nodes]

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for edges, sources in zip(self.edges, self.sources, strict=True):
            parts = [edge(found[i]) for edge, i in zip(edges, sources, strict=True)]
            found.append(torch.stack(parts).sum(0))
        return found[-1]


@final
class Residual(nn.Module):
    """The block between two stages, which halves the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(3, inputs, outputs, 2), conv(3, outputs, outputs))
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.body(x)


def network(architecture: str, classes: int = 10, cells: int = CELLS) -> nn.Module:
    """The network of a cell, for images (N, 3, 32, 32)."""
    first, *_, last = CHANNELS
    layers: list[nn.Module] = [nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first)]
    before: Sequence[int] = (first, *CHANNELS)
    for i, (inputs, channels) in enumerate(zip(before, CHANNELS, strict=False)):
        layers += [Residual(inputs, channels)] if i else []
        layers += map(partial(Cell, architecture), [channels] * cells)
    layers += [nn.BatchNorm2d(last), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(last, classes))
