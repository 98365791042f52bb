"""A space of mobile networks for images: stages of inverted residual blocks."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from runner import nn

Maker = Callable[..., nn.Module]


@nn.model_wrapper
class MobileNet(nn.Module):
    """Inverted residuals (MobileNetV2, Sandler et al. 2018, https://arxiv.org/abs/1801.04381).

    The choices are those of MnasNet (Tan et al. 2018, https://arxiv.org/abs/1807.11626), made for
    each block. There is one stage for each of `widths` and `strides`; the first block of a stage
    has that stride. `depths`, `kernels` and `expansions` list candidates. Choices:

    - `stage1/depth`: number of blocks.
    - `stage1/block0/kernel`: kernel size of the depthwise convolution.
    - `stage1/block0/expansion`: ratio of the channels inside a block to those of its input.
    - `stage1/block0/gate`: `none`, or squeeze-and-excitation (`excite`); asked with `excite=True`.
    """

    def __init__(
        self,
        shape: nn.ImageShape = (1, 8, 8),
        classes: nn.Positive = 10,
        stem_width: nn.Positive = 16,
        stem_stride: nn.Positive = 1,
        widths: Sequence[nn.Positive] = (16, 24, 32),
        strides: Sequence[nn.Positive] = (1, 2, 1),
        head_width: nn.Positive = 128,
        depths: Sequence[nn.Repeats] = (1, 2),
        kernels: Sequence[nn.OddSize] = (3, 5),
        expansions: Sequence[nn.Positive] = (2, 3, 4),
        excite: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < len(widths) == len(strides):
            raise nn.SpaceError(
                f"space.widths is {list(widths)} and space.strides is {list(strides)}; each stage "
                "needs one of both, and there must be a stage."
            )
        fewest = min(stem_width, *widths) * min(expansions, default=4)
        if excite and fewest < 4:
            raise nn.SpaceError(
                f"space.excite is true, which needs 4 channels inside a block; the smallest width "
                f"times the smallest of space.expansions is {fewest}."
            )
        block = partial(_block, kernels=kernels, expansions=expansions, excite=excite)
        layers: list[nn.Module] = [_conv(shape[0], stem_width, 3, stem_stride), nn.Hardswish()]
        channels = stem_width
        for i, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            stage = f"stage{i + 1}"
            depth = nn.ValueChoice(depths, label=f"{stage}/depth")
            layers.append(nn.Repeat(partial(block, stage, channels, width, stride), depth))
            channels = width
        self.features = nn.Sequential(*layers, _conv(channels, head_width, 1), nn.Hardswish())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(head_width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, C, H, W)
        x = self.pool(x).flatten(1)  # (N, C)
        return self.head(x)  # (N, classes)


class InvertedResidual(nn.Module):
    """Expands, filters depthwise, gates and projects; residual if the shapes allow it."""

    def __init__(
        self, c_in: int, c_out: int, inner: int, kernel: int, stride: int, gate: nn.Module
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and c_in == c_out
        self.body = nn.Sequential(
            _conv(c_in, inner, 1),
            nn.Hardswish(),
            _conv(inner, inner, kernel, stride, groups=inner),
            nn.Hardswish(),
            gate,
            _conv(inner, c_out, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.residual else y


class Excite(nn.Module):
    """Squeeze-and-excitation: gates channels by their means (https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)  # (N, C, H, W) * (N, C, 1, 1)


def _block(
    stage: str,
    c_in: int,
    c_out: int,
    stride: int,
    index: int,
    *,
    kernels: Sequence[int],
    expansions: Sequence[int],
    excite: bool,
) -> InvertedResidual:
    """Returns block `index` of a stage; the first one has the stride, and `c_in` channels."""
    path = f"{stage}/block{index}"
    if index > 0:
        c_in, stride = c_out, 1
    kernel = nn.ValueChoice(kernels, label=f"{path}/kernel")
    inner = c_in * nn.ValueChoice(expansions, label=f"{path}/expansion")
    gates: dict[str, Maker] = {"none": nn.Identity, "excite": partial(Excite, inner)}
    gate = nn.LayerChoice(gates, label=f"{path}/gate") if excite else nn.Identity()
    return InvertedResidual(c_in, c_out, inner, kernel, stride, gate)


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and normalization."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))
