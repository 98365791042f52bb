"""Published spaces as their users write them: every candidate is built, and weights are set."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from runner import nn

EDGES = [(node, before) for node in (1, 2, 3) for before in range(node)]
# channels, blocks and stride of each stage of ProxylessNAS
STAGES = ((32, 4, 2), (56, 4, 2), (112, 4, 2), (128, 4, 1), (256, 4, 2), (432, 1, 1))


def relu_conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(c_out))


class Zero(nn.Module):
    """An edge that is left out."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0


class Cell201(nn.Module):
    """Four nodes; each is the sum of an operation on every node before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(self._edge(width, *edge) for edge in EDGES)

    @staticmethod
    def _edge(width: int, node: int, before: int) -> nn.Module:
        operations = {
            "none": Zero(),
            "skip_connect": nn.Identity(),
            "nor_conv_1x1": relu_conv_bn(width, width, 1),
            "nor_conv_3x3": relu_conv_bn(width, width, 3),
            "avg_pool_3x3": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        }
        return nn.LayerChoice(operations, label=f"cell/{node}_{before}")

    def forward(self, x: Tensor) -> Tensor:
        first = self.edges[0](x)
        second = self.edges[1](x) + self.edges[2](first)
        return self.edges[3](x) + self.edges[4](first) + self.edges[5](second)


class Reduction201(nn.Module):
    """The residual block between two stages."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first = relu_conv_bn(c_in, c_out, 3, 2)
        self.second = relu_conv_bn(c_out, c_out, 3)
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + self.skip(x)


def initialize(model: nn.Module) -> None:
    """Sets weights as the authors of both spaces do."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
            torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.01)


@nn.model_wrapper
class NasBench201(nn.Module):
    """NAS-Bench-201 (https://arxiv.org/abs/2001.00326): 15 cells with the same six choices."""

    def __init__(self, width: int = 16, cells: int = 5, channels: int = 3) -> None:
        super().__init__()
        layers = [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        for stage in range(3):
            if stage:
                layers.append(Reduction201(width, 2 * width))
                width *= 2
            layers += [Cell201(width) for _ in range(cells)]
        self.layers = nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, 10)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean((2, 3)))


class Inverted(nn.Module):
    """An inverted residual block (https://arxiv.org/abs/1801.04381), dropped at a rate."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, expand: int, stride: int, drop: float
    ) -> None:
        super().__init__()
        wide = c_in * expand
        self.body = nn.Sequential(
            nn.Conv2d(c_in, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False),
            nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, c_out, 1, bias=False), nn.BatchNorm2d(c_out), nn.Dropout2d(drop),
        )  # fmt: skip
        self.skips = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skips else self.body(x)


def _candidates(c_in: int, c_out: int, stride: int, drop: float) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {
        f"k{kernel}e{expand}": Inverted(c_in, c_out, kernel, expand, stride, drop)
        for expand in (3, 6)
        for kernel in (3, 5, 7)
    }
    return found if stride > 1 or c_in != c_out else {**found, "skip": nn.Identity()}


@nn.model_wrapper
class ProxylessNas(nn.Module):
    """ProxylessNAS (https://arxiv.org/abs/1812.00332): 21 blocks, each of seven candidates. Drop
    rates are values of a tensor, which a meta tensor does not have."""

    def __init__(self, stages: Sequence[Sequence[int]] = STAGES, channels: int = 3) -> None:
        super().__init__()
        rates = torch.linspace(0, 0.2, sum(count for _, count, _ in stages))
        first = nn.Conv2d(channels, 40, 3, 2, 1, bias=False), nn.BatchNorm2d(40), nn.ReLU6()
        self.stem = nn.Sequential(*first, Inverted(40, 24, 3, 1, 1, 0.0))
        blocks: list[nn.Module] = []
        c_in = 24
        for c_out, count, stride in stages:
            for i in range(count):
                drop = rates[len(blocks)].item()
                found = _candidates(c_in, c_out, stride if i == 0 else 1, drop)
                blocks.append(nn.LayerChoice(found, label=f"block{len(blocks)}"))
                c_in = c_out
        self.blocks = nn.Sequential(*blocks)
        self.tail = nn.Sequential(nn.Conv2d(c_in, 1728, 1, bias=False), nn.BatchNorm2d(1728))
        self.head = nn.Linear(1728, 1000)
        initialize(self)
        torch.nn.init.uniform_(self.head.bias, -1 / math.sqrt(1728), 1 / math.sqrt(1728))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tail(self.blocks(self.stem(x))).relu().mean((2, 3)))
