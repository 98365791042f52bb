"""Small models that change tensors in place. All take and give (N, 4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# What is done in place, and is seen by nobody else. All take and give (N, 4).


class Operators(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y += x
        y -= 1
        y *= x
        y /= 3
        return y


class Methods(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        y.mul_(x).clamp_(min=0.0)
        z = torch.zeros_like(y)
        z.fill_(2.0)
        return y + z


class Functions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        torch.relu_(y)
        F.leaky_relu_(y, 0.1)
        F.relu(y, inplace=True)
        return F.dropout(y, 0.5, self.training, True)


class Out(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.empty(x.size(0), 8)
        torch.cat([x, x], 1, out=y)
        return y * 2


class Layers(nn.Module):
    """Reads what an activation was given after it has been changed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        z = self.relu(y)
        w = self.drop(z + 1)
        return y + z + w


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.skip = nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.skip(x)
        y = self.linear(x)
        y += skipped
        return self.relu(y)


class InList(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        parts = [x + 1]
        parts[0] += x
        parts.append(parts[0] * 2)
        return torch.cat(parts, 1).view(-1, 2, 4).sum(1)


IN_PLACE = {
    "operators": Operators,
    "methods": Methods,
    "functions": Functions,
    "out": Out,
    "layers": Layers,
    "a residual": Residual,
    "in a list": InList,
}


# Changes in place that others see


class OfView(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x[:, :2]
        y += 1
        return x * 2


class Items(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[:, 0] = 3.0
        return y


class Identical(nn.Module):
    """Its identity gives the very tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.skip = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        z = x * 2
        y = self.skip(z)
        y += 1
        return z


class Buffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class BatchStatistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.var, training=True)


SHARED = {
    "a view": OfView,
    "items": Items,
    "the same tensor": Identical,
    "a buffer": Buffer,
    "statistics": BatchStatistics,
}
