"""A space of residual networks for images."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from torch import Tensor

from runner import nn

Maker = Callable[..., nn.Module]
Stem = Literal["conv", "deep"]
Kind = Literal["basic", "bottleneck"]
Activation = Literal["relu", "silu", "gelu"]


@nn.model_wrapper
class ResNet(nn.Module):
    """Residual networks (He et al. 2015, https://arxiv.org/abs/1512.03385).

    There is one stage for each of `strides`; the first block of a stage has that stride. All other
    plural arguments list candidates. Choices:

    - `activation`: `relu`, `silu` or `gelu`, the same everywhere.
    - `stem`: one convolution (`conv`) or three of 3x3 (`deep`, https://arxiv.org/abs/1812.01187).
    - `stage1/width`: channels; the candidates double from stage to stage.
    - `stage1/depth`: number of blocks.
    - `stage1/block0/kind`: `basic` or `bottleneck`.
    - `stage1/block0/kernel`: kernel size.
    - `stage1/block0/ratio`: ratio of a bottleneck's channels to those inside it; asked in
      bottlenecks.
    """

    def __init__(
        self,
        shape: nn.ImageShape = (1, 8, 8),
        classes: nn.Positive = 10,
        stems: Sequence[Stem] = ("conv", "deep"),
        stem_width: nn.Positive = 16,
        stem_stride: Literal[1, 2, 4] = 1,
        widths: Sequence[nn.Positive] = (16, 24, 32),
        strides: Sequence[nn.Positive] = (1, 2),
        depths: Sequence[nn.Repeats] = (1, 2, 3),
        kinds: Sequence[Kind] = ("basic", "bottleneck"),
        kernels: Sequence[nn.OddSize] = (3, 5),
        ratios: Sequence[nn.Positive] = (2, 4),
        activations: Sequence[Activation] = ("relu", "silu", "gelu"),
    ) -> None:
        super().__init__()
        _check(stems, stem_width, widths, kinds, ratios)
        act = partial(
            nn.LayerChoice, {name: ACTIVATIONS[name] for name in activations}, label="activation"
        )
        stem: dict[str, Maker] = {
            name: partial(STEMS[name], shape[0], stem_width, stem_stride, act) for name in stems
        }
        self.stem = nn.Sequential(nn.LayerChoice(stem, label="stem"), act())

        block = partial(_block, kinds=kinds, kernels=kernels, ratios=ratios, activation=act)
        stages = []
        channels = stem_width
        for i, stride in enumerate(strides):
            stage = f"stage{i + 1}"
            width = nn.ValueChoice([width * 2**i for width in widths], label=f"{stage}/width")
            depth = nn.ValueChoice(depths, label=f"{stage}/depth")
            stages.append(nn.Repeat(partial(block, stage, channels, width, stride), depth))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, C, H, W)
        x = self.stages(x)  # (N, C', H', W')
        x = self.pool(x).flatten(1)  # (N, C')
        return self.head(x)  # (N, classes)


def _check(
    stems: Sequence[Stem],
    stem_width: int,
    widths: Sequence[int],
    kinds: Sequence[Kind],
    ratios: Sequence[int],
) -> None:
    if "deep" in stems and stem_width < 2:
        raise nn.SpaceError(f"space.stem_width is {stem_width}; a deep stem needs at least 2.")
    largest = max(ratios, default=1)
    smallest = min(widths, default=largest)
    if "bottleneck" in kinds and largest > smallest:
        raise nn.SpaceError(
            f"space.ratios has {largest}, which leaves no channels inside a bottleneck of "
            f"{smallest}: each of space.ratios must be at most each of space.widths."
        )


class Block(nn.Module):
    """`activation(body(x) + shortcut(x))`."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


def _block(
    stage: str,
    c_in: int,
    c_out: int,
    stride: int,
    index: int,
    *,
    kinds: Sequence[Kind],
    kernels: Sequence[int],
    ratios: Sequence[int],
    activation: Maker,
) -> Block:
    """Returns block `index` of a stage; the first one has the stride, and `c_in` channels."""
    path = f"{stage}/block{index}"
    if index > 0:
        c_in, stride = c_out, 1
    kernel = nn.ValueChoice(kernels, label=f"{path}/kernel")
    ratio = partial(nn.ValueChoice, ratios, label=f"{path}/ratio")
    bodies: dict[str, Maker] = {
        kind: partial(KINDS[kind], c_in, c_out, kernel, stride, activation, ratio) for kind in kinds
    }
    body = nn.LayerChoice(bodies, label=f"{path}/kind")
    shortcut = _shortcut(c_in, c_out, stride) if index == 0 else nn.Identity()
    return Block(body, shortcut, activation())


def _basic(
    c_in: int, c_out: int, kernel: int, stride: int, activation: Maker, ratio: Callable[[], int]
) -> nn.Sequential:
    return nn.Sequential(
        _conv(c_in, c_out, kernel, stride),
        activation(),
        _conv(c_out, c_out, kernel),
    )


def _bottleneck(
    c_in: int, c_out: int, kernel: int, stride: int, activation: Maker, ratio: Callable[[], int]
) -> nn.Sequential:
    inner = c_out // ratio()
    return nn.Sequential(
        _conv(c_in, inner, 1),
        activation(),
        _conv(inner, inner, kernel, stride),
        activation(),
        _conv(inner, c_out, 1),
    )


def _shortcut(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """A projection that uses every pixel (ResNet-D, https://arxiv.org/abs/1812.01187)."""
    project = _conv(c_in, c_out, 1)
    if stride == 1:
        return project
    pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, project)


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution and normalization."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


def _conv_stem(c_in: int, c_out: int, stride: int, activation: Maker) -> nn.Sequential:
    """7x7, with pooling for stride 4 as in the paper; 3x3 for small images (stride 1)."""
    conv = _conv(c_in, c_out, 3 if stride == 1 else 7, min(stride, 2))
    return _pooled(conv, stride // 2)


def _deep_stem(c_in: int, c_out: int, stride: int, activation: Maker) -> nn.Sequential:
    convs = nn.Sequential(
        _conv(c_in, c_out // 2, 3, min(stride, 2)),
        activation(),
        _conv(c_out // 2, c_out // 2, 3),
        activation(),
        _conv(c_out // 2, c_out, 3),
    )
    return _pooled(convs, stride // 2)


def _pooled(layers: nn.Sequential, stride: int) -> nn.Sequential:
    if stride > 1:
        layers.append(nn.MaxPool2d(3, stride, padding=1))
    return layers


STEMS: Mapping[Stem, Maker] = {"conv": _conv_stem, "deep": _deep_stem}
KINDS: Mapping[Kind, Maker] = {"basic": _basic, "bottleneck": _bottleneck}
ACTIVATIONS: Mapping[Activation, Maker] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
