"""Small models for the flattening of graphs: what follows the batch, and what is opaque."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Around(nn.Module):
    """A layer in front of a module, and one behind."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.inner = inner
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(self.first(x)))


class Reshapes(nn.Module):
    """(N, 3, 4) to (2 N, 6)."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.size(0) * 2
        y = x.view(rows, 12 // 2)
        return y + torch.ones((rows, 1), dtype=x.dtype, device=x.device)


# What depends on the number of examples, other than in proportion. All take and give (N, 4).


class Compares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.size(0) > 64:
            return x * 2
        return x


class Halves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        half = x.size(0) // 2
        return torch.cat([x[half:], x[:half]])


class Clamps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * min(x.size(0), 50)


class Remainder(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (x.size(0) % 5)


class Rows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(4)
        for i in range(x.size(0)):
            total = total + x[i]
        return x + total


class Averages(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / (1.0 + 1.0 / x.size(0))


class FirstThree(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x[:3].sum(0)


class PlusOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(x.size(0) + 1, 4)[1:]


FOLLOW_SIZE = {
    "a comparison": Compares,
    "a half": Halves,
    "a minimum": Clamps,
    "a remainder": Remainder,
    "a loop": Rows,
    "a mean": Averages,
    "a slice": FirstThree,
    "one more": PlusOne,
}


# What cannot be followed


class OnData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        return x - 1


class NumberOfData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.sum().item()


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Appends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sizes = [1]

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(2)
        return x * len(self.sizes)


class WithoutGradient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x * 2
        return y + x


class AsksGradient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            return x * 2
        return x


class AsksDevice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            return x * 2
        return x


OPAQUE = {
    "a condition on data": OnData,
    "a number of data": NumberOfData,
    "an attribute that is set": Counts,
    "a list that grows": Appends,
    "a context": WithoutGradient,
    "a question for gradients": AsksGradient,
    "a question for the device": AsksDevice,
}


class ReadsWhatChanges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.counter = Counts()

    def forward(self, x: Tensor) -> Tensor:
        return self.counter(x) + self.counter.calls


class Parts(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if x.sum() > 0:
            x = x * 2
        return x, {"a": x + 1, "b": x + 2}


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.inner = Parts()

    def forward(self, x: Tensor) -> Tensor:
        y, more = self.inner(self.first(x))
        return y + more["a"] + more["b"]


class GivesNumber(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, float]:
        return x, x.sum().item()


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        self.drop(x)
        self.norm(x)
        y = self.first(x) * self.scale
        y = torch.relu(y)
        return self.first(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.second.weight), self.first.weight)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = self.a
        self.both = nn.Sequential(self.a, self.b)

    def forward(self, x: Tensor) -> Tensor:
        return self.both(self.b(x))


class Several(nn.Module):
    """(N, 6, 4) to (N, 6, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 2)
        y, (h, _) = self.lstm(a)
        return y + h.transpose(0, 1) + b.sum()
