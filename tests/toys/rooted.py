"""A space that no file can hold alone: it reads the file it lies in."""

from pathlib import Path

from torch import Tensor

from runner import nn

HERE = Path(__file__)


@nn.basic_unit
class Tail(nn.Module):
    """Uses where its own file lies."""

    def forward(self, x: Tensor) -> Tensor:
        return x * len(HERE.suffix)


class Rooted(nn.Module):
    def __init__(self, shape: tuple[int, ...] = (1, 8, 8), classes: int = 10) -> None:
        super().__init__()
        width = nn.ValueChoice([4, 8], label="width")
        self.flat, self.body, self.tail = nn.Flatten(), nn.Linear(64, width), Tail()
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tail(self.body(self.flat(x))))
