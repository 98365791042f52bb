"""Networks for images whose paths part and join: dense, inception, shuffled, searched."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from programs.case import floats, program


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Mix the channels of the groups."""
    batchsize, num_channels, height, width = x.size()
    channels_per_group = num_channels // groups
    x = x.view(batchsize, groups, channels_per_group, height, width)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(batchsize, num_channels, height, width)


class ShuffleUnit(nn.Module):
    """Of a ShuffleNetV2: one half of the channels passes, or both are reduced."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.stride = stride
        half = channels // 2 if stride == 1 else channels
        self.branch1 = nn.Conv2d(channels, half, 3, 2, 1) if stride > 1 else nn.Sequential()
        self.branch2 = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, stride, 1, groups=half, bias=False),
        )

    def forward(self, x):
        if self.stride == 1:
            x1, x2 = x.chunk(2, dim=1)
            out = torch.cat((x1, self.branch2(x2)), dim=1)
        else:
            out = torch.cat((self.branch1(x), self.branch2(x)), dim=1)
        return shuffle(out, 2)


@program(floats(2, 3, 12, 12))
class ShuffleNet(nn.Module):
    """Ma et al. 2018, https://arxiv.org/abs/1807.11164."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.stage2 = nn.Sequential(ShuffleUnit(4, 2), ShuffleUnit(8, 1))
        self.stage3 = nn.Sequential(ShuffleUnit(8, 2), ShuffleUnit(16, 1))
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.stage3(self.stage2(self.conv1(x)))
        x = x.mean([2, 3])  # globalpool
        return self.fc(x)


class DenseLayer(nn.Module):
    """Takes all features so far."""

    def __init__(self, before: int, growth: int, drop_rate: float):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(before, growth, 3, padding=1, bias=False)
        self.drop_rate = float(drop_rate)

    def bottleneck(self, inputs: list[Tensor]) -> Tensor:
        return self.conv1(self.relu1(self.norm1(torch.cat(inputs, 1))))

    def forward(self, input: list[Tensor]) -> Tensor:
        new_features = self.bottleneck(input)
        if self.drop_rate > 0:
            new_features = F.dropout(new_features, p=self.drop_rate, training=self.training)
        return new_features


class DenseBlock(nn.ModuleDict):
    """A ModuleDict with a forward."""

    def __init__(self, layers: int, before: int, growth: int):
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(before + i * growth, growth, 0.2))

    def forward(self, init_features: Tensor) -> Tensor:
        features = [init_features]
        for _name, layer in self.items():  # noqa: PERF102
            new_features = layer(features)
            features.append(new_features)
        return torch.cat(features, 1)


@program(floats(2, 3, 8, 8))
class DenseNet(nn.Module):
    """Huang et al. 2016, https://arxiv.org/abs/1608.06993."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, 4, 3, 2, 1, bias=False))
        self.features.add_module("denseblock1", DenseBlock(3, 4, 2))
        self.features.add_module("pool1", nn.AvgPool2d(2))
        self.features.add_module("denseblock2", DenseBlock(2, 10, 2))
        self.classifier = nn.Linear(14, 5)

    def forward(self, x):
        out = F.relu(self.features(x), inplace=True)
        out = F.adaptive_avg_pool2d(out, (1, 1))
        return self.classifier(torch.flatten(out, 1))


class InceptionBlock(nn.Module):
    """Four branches of different reach."""

    def __init__(self, before: int, pool_features: int):
        super().__init__()
        self.branch1x1 = nn.Conv2d(before, 3, 1)
        self.branch5x5_1 = nn.Conv2d(before, 2, 1)
        self.branch5x5_2 = nn.Conv2d(2, 3, 5, padding=2)
        self.branch_pool = nn.Conv2d(before, pool_features, 1)

    def _forward(self, x: Tensor) -> list[Tensor]:
        branch1x1 = self.branch1x1(x)
        branch5x5 = self.branch5x5_2(self.branch5x5_1(x))
        branch_pool = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        return [branch1x1, branch5x5, self.branch_pool(branch_pool)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self._forward(x), 1)


@program(floats(2, 3, 8, 8), init=(True,))
@program(floats(2, 3, 8, 8), init=(False,))
class Inception(nn.Module):
    """Szegedy et al. 2015, https://arxiv.org/abs/1512.00567: a second head while it trains."""

    def __init__(self, aux: bool):
        super().__init__()
        self.a = InceptionBlock(3, 2)
        self.b = InceptionBlock(8, 4)
        self.aux = nn.Conv2d(8, 5, 1) if aux else None
        self.head = nn.Linear(10, 5)

    def forward(self, x):
        x = self.a(x)
        aux: Tensor | None = None
        if self.aux is not None and self.training:
            aux = self.aux(x).mean((2, 3))
        x = self.b(x)
        return self.head(x.flatten(2).mean(-1)), aux


class DropPath(nn.Module):
    """Leaves out whole samples while it trains."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x):
        if self.p > 0.0 and self.training:
            keep = 1.0 - self.p
            mask = torch.zeros(x.size(0), 1, 1, 1, device=x.device, dtype=x.dtype).bernoulli_(keep)
            x = x.div(keep) * mask
        return x


@program(floats(4, 4, 6, 6))
class SearchedCell(nn.Module):
    """Of DARTS (Liu et al. 2018, https://arxiv.org/abs/1806.09055)."""

    def __init__(self):
        super().__init__()
        self.ops = nn.ModuleList()
        for i in range(3):
            edges = [nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1)) for _ in range(1 + i)]
            self.ops.append(nn.ModuleList([*edges, nn.Identity()]))
        self.drop = DropPath(0.3)

    def forward(self, s0):
        states = [s0, s0 * 2]
        for ops in self.ops:
            nodes: list[Tensor] = []
            for i, op in enumerate(ops):
                nodes.append(self.drop(op(states[i])))
            states.append(torch.sum(torch.stack(nodes), 0))
        return torch.cat(states[2:], dim=1)


@program(floats(1, 3, 16, 16))
class UNet(nn.Module):
    """Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)])
        self.up = nn.ModuleList([nn.Conv2d(12, 4, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)])
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        skips = []
        for layer in self.down:
            x = F.relu(layer(x))
            skips.append(x)
            x = self.pool(x)
        for i, layer in enumerate(self.up):
            skip = skips[-1 - i]
            x = F.interpolate(x, size=(skip.shape[-2], skip.shape[-1]), mode="nearest")
            x = layer(torch.cat([x, skip], 1))
        return self.head(x)
