"""Well-known networks for images, small."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from programs.case import floats, plain, program


@program(floats(2, 1, 28, 28))
class Mnist(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, kernel_size=5)
        self.conv2 = nn.Conv2d(4, 6, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(96, 12)
        self.fc2 = nn.Linear(12, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = x.view(-1, 96)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, training=self.training)
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


@program(floats(3, 4))
class Policy(nn.Module):
    """REINFORCE on a cart pole."""

    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 16)
        self.dropout = nn.Dropout(p=0.6)
        self.affine2 = nn.Linear(16, 2)

    def forward(self, x):
        x = F.relu(self.dropout(self.affine1(x)))
        return F.softmax(self.affine2(x), dim=1)


class BasicBlock(nn.Module):
    """Of a ResNet."""

    expansion = 1
    __constants__ = ["downsample"]  # noqa: RUF012

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample=None):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x):
        residual = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            residual = self.downsample(x)
        out += residual
        out = self.relu(out)
        return out  # noqa: RET504


@program(plain(2, 3, 16, 16), init=([2, 1, 1],))
class ResNet(nn.Module):
    """He et al. 2016, https://arxiv.org/abs/1512.03385."""

    def __init__(self, layers: list[int], num_classes: int = 5):
        super().__init__()
        self.inplanes = 4
        self.conv1 = nn.Conv2d(3, 4, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(BasicBlock, 4, layers[0])
        self.layer2 = self._make_layer(BasicBlock, 8, layers[1], stride=2)
        self.layer3 = self._make_layer(BasicBlock, 16, layers[2], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def _make_layer(self, block: type[BasicBlock], planes: int, blocks: int, stride: int = 1):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
            )
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes * block.expansion
        layers += [block(self.inplanes, planes) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = self.avgpool(x)
        x = x.view(x.size(0), -1)
        return self.fc(x)


def vgg_layers(plan: list[int | str]) -> nn.Sequential:
    """Convolutions of these widths; "M" is a pool."""
    layers: list[nn.Module] = []
    channels = 3
    for width in plan:
        if width == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        else:
            layers += [
                nn.Conv2d(channels, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(True),
            ]
            channels = width
    return nn.Sequential(*layers)


@program(floats(2, 3, 16, 16))
class VGG(nn.Module):
    """Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556; AlexNet's head."""

    def __init__(self):
        super().__init__()
        self.features = vgg_layers([4, "M", 8, 8, "M"])
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(32, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


class Fire(nn.Module):
    """Of a SqueezeNet: squeeze, then expand by two convolutions."""

    def __init__(self, before: int, squeezed: int, after: int):
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeezed, after, kernel_size=1)
        self.expand3x3 = nn.Conv2d(squeezed, after, kernel_size=3, padding=1)

    def forward(self, x):
        x = self.squeeze_activation(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


@program(floats(2, 3, 16, 16))
class SqueezeNet(nn.Module):
    """Iandola et al. 2016, https://arxiv.org/abs/1602.07360."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(4, 2, 4), Fire(8, 2, 4)
        )
        final = nn.Conv2d(8, 5, kernel_size=1)
        self.classifier = nn.Sequential(
            nn.Dropout(), final, nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


class InvertedResidual(nn.Module):
    """Of a MobileNetV2."""

    def __init__(self, before: int, after: int, stride: int, expand: int):
        super().__init__()
        width = before * expand
        self.use_res_connect = stride == 1 and before == after
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [
                nn.Conv2d(before, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU6(True),
            ]
        self.conv = nn.Sequential(
            *layers,
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(inplace=True),
            nn.Conv2d(width, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x):
        if self.use_res_connect:
            return x + self.conv(x)
        return self.conv(x)


@program(floats(2, 3, 16, 16))
class MobileNet(nn.Module):
    """Sandler et al. 2018, https://arxiv.org/abs/1801.04381."""

    def __init__(self):
        super().__init__()
        plan = [(4, 4, 1, 1), (4, 6, 2, 3), (6, 6, 1, 3)]
        blocks = [InvertedResidual(*row) for row in plan]
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), *blocks)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(6, 5))

    def forward(self, x):
        x = self.features(x).mean([2, 3])
        return self.classifier(x)
