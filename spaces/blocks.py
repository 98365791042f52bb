"""Blocks to insert into existing models; with their initial weights, they change nothing."""

import torch
from torch import Tensor

from runner import nn


class SqueezeExcite(nn.Module):
    """Scales each channel by a factor computed from all of them (Hu et al. 2017,
    https://arxiv.org/abs/1709.01507).

    Inputs and outputs are (N, C, H, W). The last layer is initialized to zeros and the gate is `2 *
    sigmoid`, so that each factor is initially exactly 1. There are `channels * ratio` hidden
    channels.
    """

    def __init__(self, channels: int, ratio: float = 0.25) -> None:
        super().__init__()
        inner = max(1, int(channels * ratio))
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        y = self.expand(self.act(self.reduce(y)))
        return x * (2 * torch.sigmoid(y))


class Adapter(nn.Module):
    """A narrow residual layer (Houlsby et al. 2019, https://arxiv.org/abs/1902.00751).

    Inputs and outputs are tokens, (N, ..., D). The last layer is initialized to zeros, so that the
    output initially equals the input. There are `dim * ratio` hidden features.
    """

    def __init__(self, dim: int, ratio: float = 0.25) -> None:
        super().__init__()
        inner = max(1, int(dim * ratio))
        self.down = nn.Linear(dim, inner)
        self.act = nn.GELU()
        self.up = nn.Linear(inner, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(self.act(self.down(x)))
