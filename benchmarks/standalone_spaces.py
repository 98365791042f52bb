"""The seven spaces of NNI's hub, small, as their users write them: what is read, what is kept."""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from describe_spaces import Inverted, NasBench201, ProxylessNas
from torch import Tensor

from runner import nn
from runner.nn import basic_unit, model_wrapper

SPACES = {
    "NAS-Bench-201": (NasBench201, {"cells": 1, "width": 8}),
    "ProxylessNAS": (ProxylessNas, {"stages": [[32, 2, 2], [56, 1, 2]]}),
}


def published(cls: type[nn.Module]) -> type[nn.Module]:
    """Adds a space to the list, with its own defaults."""
    SPACES[cls.__doc__.partition(" (")[0]] = (cls, {})  # type: ignore[union-attr]
    return cls


# DARTS: operations are units of their own, as in NNI's hub; a comprehension drops those not wanted


@basic_unit
class ReluConvBn(nn.Module):
    def __init__(self, c: int, kernel: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.op = nn.Sequential(
            nn.ReLU(), nn.Conv2d(c, c, kernel, stride, padding, dilation, groups=c, bias=False),
            nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


@basic_unit
class FactorizedReduce(nn.Module):
    """Halves an image without losing every second pixel."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(c, c // 2, 1, 2, bias=False)
        self.two = nn.Conv2d(c, c // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(c)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.norm(torch.cat([self.one(x), self.two(x[:, :, 1:, 1:])], 1))


DARTS_OPS = {
    "max_pool_3x3": lambda c, stride: nn.MaxPool2d(3, stride, 1),
    "avg_pool_3x3": lambda c, stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "skip_connect": lambda c, stride: nn.Identity() if stride == 1 else FactorizedReduce(c),
    "sep_conv_3x3": lambda c, stride: ReluConvBn(c, 3, stride),
    "sep_conv_5x5": lambda c, stride: ReluConvBn(c, 5, stride),
    "dil_conv_3x3": lambda c, stride: ReluConvBn(c, 3, stride, 2),
    "none": None,
}


class DartsCell(nn.Module):
    """A cell of `nodes` nodes, each with the sum of two operations on earlier states."""

    def __init__(self, c: int, nodes: int, reduces: bool) -> None:
        super().__init__()
        kind = "reduce" if reduces else "normal"
        self.nodes = nodes
        self.ops = nn.ModuleList()
        self.inputs = []
        for node in range(nodes):
            for slot in range(2):
                source = nn.ValueChoice([*range(2 + node)], label=f"{kind}/n{node}i{slot}")()
                stride = 2 if reduces and source < 2 else 1
                ops = {n: partial(f, c, stride) for n, f in DARTS_OPS.items() if f is not None}
                self.ops.append(nn.LayerChoice(ops, label=f"{kind}/n{node}o{slot}"))
                self.inputs.append(source)

    def forward(self, states: list[Tensor]) -> Tensor:
        states = list(states)
        for node in range(self.nodes):
            new = [self.ops[i](states[self.inputs[i]]) for i in (2 * node, 2 * node + 1)]
            states.append(sum(new))
        return torch.cat([state for state in states[2:] if state is not None], dim=1)


@published
@model_wrapper
class Darts(nn.Module):
    """DARTS (https://arxiv.org/abs/1806.09055)"""

    def __init__(self, width: int = 8, nodes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width))
        self.normal = DartsCell(width, nodes, False)
        self.between = nn.Conv2d(width * nodes, width, 1)
        self.reduce = DartsCell(width, nodes, True)
        self.head = nn.Linear(width * nodes, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.between(self.normal([x, x]))
        return self.head(self.reduce([x, x]).mean(dim=(2, 3)))


# NAS-Bench-101: a matrix of edges, and a forward that walks it


class Cell101(nn.Module):
    def __init__(self, c: int, nodes: int) -> None:
        super().__init__()
        self.edges = {
            (a, b): nn.ValueChoice([True, False], label=f"edge{a}_{b}")
            for b in range(1, nodes) for a in range(b)
        }  # fmt: skip
        ops = {
            "conv3": partial(nn.Conv2d, c, c, 3, padding=1),
            "conv1": partial(nn.Conv2d, c, c, 1),
            "pool": partial(nn.MaxPool2d, 3, 1, 1),
        }
        self.ops = nn.ModuleList(nn.LayerChoice(ops, label=f"op{n}") for n in range(nodes - 1))

    def forward(self, x: Tensor) -> Tensor:
        states = [x]
        for node, op in enumerate(self.ops, 1):
            given = [states[a] for a in range(node) if self.edges[a, node] or a == node - 1]
            states.append(op(torch.stack(given).sum(0)))
        return states[-1]


@published
@model_wrapper
class NasBench101(nn.Module):
    """NAS-Bench-101 (https://arxiv.org/abs/1902.09635)"""

    def __init__(self, width: int = 8, nodes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.cell = Cell101(width, nodes)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(self.stem(x)).mean([-1, -2]))


# MobileNetV3: blocks derive from another one, and call its forward


def make_divisible(value: float, by: int = 8) -> int:
    found = max(by, int(value + by / 2) // by * by)
    return found + by if found < 0.9 * value else found


class SqueezeExcite(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        inner = make_divisible(c / 4)
        self.down, self.up = nn.Conv2d(c, inner, 1), nn.Conv2d(inner, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class InvertedExcited(Inverted):
    """An inverted block, followed by squeeze and excitation."""

    def __init__(self, c_in: int, c_out: int, kernel: int, expand: int, stride: int) -> None:
        super().__init__(c_in, c_out, kernel, expand, stride, 0.0)
        self.excite = SqueezeExcite(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.excite(super().forward(x))


@published
@model_wrapper
class MobileNetV3(nn.Module):
    """MobileNetV3 (https://arxiv.org/abs/1905.02244)"""

    def __init__(self, stages: Sequence[tuple[int, int]] = ((16, 1), (24, 2))) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        blocks: list[nn.Module] = []
        c_in = 16
        for stage, (c_out, stride) in enumerate(stages):
            width = make_divisible(c_out * nn.ValueChoice([0.5, 1.0], label=f"s{stage}/width")())
            kernel = nn.ValueChoice([3, 5], label=f"s{stage}/kernel")
            kinds = {"se": InvertedExcited, "plain": partial(Inverted, drop=0.0)}
            makers = {
                name: partial(make, c_in, width, kernel, 3, stride) for name, make in kinds.items()
            }
            blocks.append(nn.LayerChoice(makers, label=f"s{stage}/kind"))
            c_in = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(c_in, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(F.hardswish(self.stem(x))).mean((2, 3)))


# ShuffleNet: a block whose forward is beyond a front end


class ShuffleBlock(nn.Module):
    def __init__(self, c: int, kernel: int) -> None:
        super().__init__()
        half = c // 2
        self.body = nn.Sequential(
            nn.Conv2d(half, half, 1), nn.BatchNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, half, kernel, padding=kernel // 2, groups=half),
        )  # fmt: skip
        self.memory: dict[str, int] = {}

    def forward(self, x: Tensor) -> Tensor:
        try:
            keep, work = x.chunk(2, dim=1)
            return shuffle(torch.cat([keep, self.body(work)], 1))
        finally:
            self.memory["calls"] = self.memory.get("calls", 0) + 1


def shuffle(x: Tensor, groups: int = 2) -> Tensor:
    """Shuffles channels (N, C, H, W) between groups."""
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


@published
@model_wrapper
class ShuffleNet(nn.Module):
    """ShuffleNet of SPOS (https://arxiv.org/abs/1904.00420)"""

    def __init__(self, width: int = 16, blocks: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.blocks = nn.Sequential(
            *[
                nn.LayerChoice([partial(ShuffleBlock, width, k) for k in (3, 5, 7)], label=f"b{i}")
                for i in range(blocks)
            ]
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


# AutoFormer: relative positions, and a unit that makes its own parameters


@basic_unit
class RelativePositions(nn.Module):
    def __init__(self, width: int, reach: int = 7) -> None:
        super().__init__()
        self.reach = reach
        self.table = nn.Parameter(torch.zeros(2 * reach + 1, width))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, length: int) -> Tensor:
        place = torch.arange(length, device=self.table.device)
        return self.table[
            (place[None] - place[:, None]).clamp(-self.reach, self.reach) + self.reach
        ]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, 1 / math.sqrt(width // heads)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.positions = RelativePositions(width // heads)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) + torch.einsum("nhld,lmd->nhlm", q, self.positions(length))
        return self.out((scores * self.scale).softmax(-1).matmul(v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.attention, self.one, self.two = (
            Attention(width, heads), nn.LayerNorm(width), nn.LayerNorm(width),
        )  # fmt: skip
        inner = int(width * ratio)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.one(x))
        return x + self.mlp(self.two(x))


@published
@model_wrapper
class AutoFormer(nn.Module):
    """AutoFormer (https://arxiv.org/abs/2107.00651)"""

    def __init__(self, patch: int = 8, size: int = 32) -> None:
        super().__init__()
        width = nn.ValueChoice([16, 24, 32], label="width")
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, width))
        nn.init.trunc_normal_(self.places, std=0.02)
        self.layers = nn.Repeat(
            lambda i: Layer(
                width,
                nn.ValueChoice([2, 4], label=f"l{i}/heads"),
                nn.ValueChoice([2.0, 3.5], label=f"l{i}/ratio"),
            ),
            (1, 3),
            label="depth",
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.layers(x))[:, 0])
