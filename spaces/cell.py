"""A space of image networks stacked from two kinds of searched cells."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from torch import Tensor

from runner import nn

Op = Literal["sep3", "sep5", "sep7", "dil3", "dil5", "avg", "max", "skip"]
Maker = Callable[[int, int], nn.Module]  # (channels, stride) -> module


@nn.model_wrapper
class CellNet(nn.Module):
    """A stack of normal and reduction cells (NASNet, https://arxiv.org/abs/1707.07012), with the
    operations of DARTS (https://arxiv.org/abs/1806.09055).

    Each of `stages` has `cells` normal cells; a reduction cell between two stages halves the image
    and doubles the channels. All cells of a kind share their choices. A node adds two operations,
    each on an earlier state: 0 and 1 are the outputs of the two previous cells, 2 is the first
    node. Choices, and likewise for `reduction`:

    - `normal/input_2_0`: the state that the first operation of node 2 reads.
    - `normal/op_2_0`: that operation, one of `ops`.
    """

    def __init__(
        self,
        shape: nn.ImageShape = (1, 8, 8),
        classes: nn.Positive = 10,
        stem_stride: nn.Positive = 1,
        width: nn.Positive = 8,
        stages: nn.Repeats = 2,
        cells: nn.Repeats = 1,
        nodes: nn.Repeats = 3,
        ops: Sequence[Op] = ("sep3", "sep5", "dil3", "avg", "max", "skip"),
    ) -> None:
        super().__init__()
        channels = (width * nodes, width * nodes)  # of the last two outputs
        self.stem = _conv(shape[0], width * nodes, 3, stem_stride)
        self.cells = nn.ModuleList()
        for stage in range(stages):
            for i in range(cells if stage == 0 else cells + 1):
                reduces = stage > 0 and i == 0  # the first cell of a later stage
                shrunk = stage > 0 and i == 1  # after it, the older input is still large
                width = width * 2 if reduces else width
                align = Align(channels, width, shrunk)
                self.cells.append(_cell(ops, nodes, width, align, reduces))
                channels = (channels[1], width * nodes)
        self.last = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, C, H, W)
        outputs = [x, x]
        for cell in self.cells:
            outputs = cell(outputs)
        x = self.last(outputs[1])  # (N, C')
        return self.head(x)  # (N, classes)


class Align(nn.Module):
    """Preprocessor: brings both inputs of a cell to the same shape (N, width, H, W)."""

    def __init__(self, channels: tuple[int, int], width: int, shrunk: bool) -> None:
        super().__init__()
        self.older = _skip_conv(channels[0], width, 2 if shrunk else 1)
        self.newer = _skip_conv(channels[1], width, 1)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        return [self.older(inputs[0]), self.newer(inputs[1])]


class Shift(nn.Module):
    """Postprocessor: the inputs of the next cell are the newer input and the output of this one."""

    def forward(self, output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
        return [inputs[1], output]


def _cell(ops: Sequence[Op], nodes: int, width: int, align: nn.Module, reduces: bool) -> nn.Cell:
    def make(op: Maker, node: int, slot: int, state: int) -> nn.Module:
        return op(width, 2 if reduces and state < 2 else 1)

    return nn.Cell(
        {op: partial(make, OPS[op]) for op in ops},
        num_nodes=nodes,
        num_ops_per_node=2,
        num_predecessors=2,
        preprocessor=align,
        postprocessor=Shift(),
        label="reduction" if reduces else "normal",
    )


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution and normalization."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


def _depthwise(width: int, kernel: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """A depthwise convolution, then a pointwise one."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(width, width, kernel, stride, padding, dilation, groups=width, bias=False),
        _conv(width, width, 1),
    )


def _separable(width: int, stride: int, *, kernel: int) -> nn.Sequential:
    return nn.Sequential(_depthwise(width, kernel, stride), _depthwise(width, kernel, 1))


def _dilated(width: int, stride: int, *, kernel: int) -> nn.Sequential:
    return _depthwise(width, kernel, stride, dilation=2)


def _avg_pool(width: int, stride: int) -> nn.Module:
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)


def _max_pool(width: int, stride: int) -> nn.Module:
    return nn.MaxPool2d(3, stride, padding=1)


def _skip(width: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else _skip_conv(width, width, stride)


def _skip_conv(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """Changes channels and size of the input; odd sizes are rounded up, as elsewhere."""
    pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    shrink = nn.Identity() if stride == 1 else pool
    return nn.Sequential(nn.ReLU(), shrink, _conv(c_in, c_out, 1))


OPS: Mapping[Op, Maker] = {
    "sep3": partial(_separable, kernel=3),
    "sep5": partial(_separable, kernel=5),
    "sep7": partial(_separable, kernel=7),
    "dil3": partial(_dilated, kernel=3),
    "dil5": partial(_dilated, kernel=5),
    "avg": _avg_pool,
    "max": _max_pool,
    "skip": _skip,
}
