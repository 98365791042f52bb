"""Spaces and data for tests of validation in a search."""

from collections.abc import Iterator

import torch
from torch import Tensor

from runner import nn
from runner.data.data import Batch, Data, SearchData, Split


class Doubles(nn.Module):
    """A test has it misread."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + x


@nn.model_wrapper
class Branching(nn.Module):
    """A branch depends on two choices."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ValueChoice([*range(10)], label="first")
        self.second = nn.ValueChoice([*range(10)], label="second")
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.first > self.second:
            x = x * 2
        return self.linear(x)


@nn.model_wrapper
class Candidates(nn.Module):
    """Its first candidate is no problem."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.LayerChoice(
            {"linear": lambda: nn.Linear(3, 3), "doubles": Doubles}, label="act"
        )
        self.head = nn.Linear(3, nn.ValueChoice([2, 4], label="width"))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(x))


@nn.model_wrapper
class Tokens(nn.Module):
    """Takes whole numbers, which only its data have."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, nn.ValueChoice([2, 4], label="width"))

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x).mean(1)


@nn.model_wrapper
class Asking(nn.Module):
    """Its Python asks what was chosen; it picks among its inputs, too."""

    def __init__(self) -> None:
        super().__init__()
        width = nn.ValueChoice([3, 6], label="width")
        self.wide = nn.Linear(3, 6) if width == 6 else nn.Identity()
        self.pick = nn.InputChoice(2, 1, label="pick")

    def forward(self, x: Tensor) -> Tensor:
        return self.wide(self.pick([x, x + 1]))


class TokenSplit(Split):
    def __len__(self) -> int:
        return 8

    def batches(
        self, size: int, device: torch.device, shuffle: torch.Generator | None = None
    ) -> Iterator[Batch]:
        tokens = torch.arange(8 * 5).reshape(8, 5) % 7
        yield tokens[:size].to(device), torch.zeros(8, dtype=torch.int64)[:size].to(device)


class TokenData(Data):
    def search(self) -> SearchData:
        return SearchData(TokenSplit(), TokenSplit())

    def test(self) -> Split:
        return TokenSplit()


class Broken(Data):
    def search(self) -> SearchData:
        raise OSError("no such file")

    def test(self) -> Split:
        raise OSError("no such file")
