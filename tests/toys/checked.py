"""Spaces in which some samples fail, or are refused. Inputs are (N, 1, 8, 8)."""

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from runner import nn


@nn.model_wrapper
class Picky(nn.Module):
    """An odd width fails when it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.width = int(nn.ValueChoice([2, 3, 4, 5, 6, 7, 8, 9], label="width"))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        if self.width % 2:
            raise ValueError("width 3 is odd")
        return self.head(x.flatten(1))


@nn.model_wrapper
class Refusing(nn.Module):
    """An odd width is refused."""

    def __init__(self) -> None:
        super().__init__()
        width = int(nn.ValueChoice([2, 3, 4, 5, 6, 7, 8, 9], label="width"))
        self.head = nn.Linear(64, 10)
        if width % 2:
            nn.refuse(f"width {width} is odd")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


@nn.model_wrapper
class Recomputing(nn.Module):
    """With batch normalization that is computed again in the backward pass, or without."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = bool(nn.ValueChoice([False, True], label="norm"))
        self.first, self.last = nn.BatchNorm1d(64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1).requires_grad_(self.training)
        return self.last(checkpoint(self.first, x, use_reentrant=False) if self.norm else x)
