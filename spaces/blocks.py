"""Blocks to be put into models that are there: at their first values, they change nothing."""

import torch
from torch import Tensor

from runner import nn


class SqueezeExcite(nn.Module):
    """A factor for each channel, found from all of them (Hu et al. 2017,
    https://arxiv.org/abs/1709.01507).

    Takes and gives (N, C, H, W). The last layer starts with zeros, and the gate is `2 * sigmoid`,
    so that each factor starts as exactly 1. There are `channels * ratio` channels inside.
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

    Takes and gives tokens, (N, ..., D). The last layer starts with zeros, so that the sum starts as
    what it is given. There are `dim * ratio` features inside.
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
