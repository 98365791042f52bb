"""Parameters, buffers and plain attributes, also where they are changed."""

from typing import Final

import torch
from torch import Tensor, nn

from programs.case import floats, ints, plain, program


@program(ints(9, 2, 4))
class TiedEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 5)
        self.head = nn.Linear(5, 9, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.embed(x))


@program(floats(4, 5))
class Buffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.ones(5))

    def forward(self, x):
        scale = self.weight.reshape(1, -1, 1, 1)
        return x * scale


@program(floats(4, 3))
class Buffers(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.arange(3).float())
        self.register_buffer("hidden", torch.full((3,), 0.5), persistent=False)
        self.register_buffer("none", None)
        self.register_buffer("table", torch.tensor([[0.1, 0.7, 0.2]]))

    def forward(self, x):
        if self.none is not None:
            x = x * 2
        return x * self.steps + self.hidden - self.table


@program(floats(4, 3))
class Observer(nn.Module):
    """Buffers that a function writes whose name does not tell, and whose result is not used."""

    def __init__(self):
        super().__init__()
        self.register_buffer("on", torch.ones(1, dtype=torch.long))
        self.register_buffer("low", torch.zeros(1))
        self.register_buffer("high", torch.zeros(1))
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("zero", torch.zeros(1, dtype=torch.int32))

    def forward(self, x):
        torch.fused_moving_avg_obs_fake_quant(
            x.detach(),
            self.on,
            self.on,
            self.low,
            self.high,
            self.scale,
            self.zero,
            0.1,
            0,
            255,
            -1,
        )
        return x * self.scale + self.low - self.high


@program(floats(4, 3))
class RunningMean(nn.Module):
    """Buffers that forward writes: by another tensor, and in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("count", torch.tensor(0))

    def forward(self, x):
        if self.training:
            self.mean = self.mean * 0.9 + x.detach().mean(0) * 0.1
            self.count += 1
        return x - self.mean, self.count.clone()


@program(floats(4, 3))
class Parameters(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 2))
        self.gain = nn.Parameter(torch.full((2,), 0.3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_parameter("bias", None)
        self.several = nn.ParameterList([nn.Parameter(torch.randn(2)) for _ in range(2)])

    def forward(self, x):
        y = x @ self.w * self.gain + self.frozen
        if self.bias is not None:
            y = y + self.bias
        for p in self.several:
            y = y * p
        return y - self.several[0]


@program(floats(2, 3))
class FrozenAndInitialized(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
        self.a.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.b(self.a(x))


@program(floats(2, 3))
class Constants(nn.Module):
    __constants__ = ["factor"]  # noqa: RUF012
    count: Final[int]

    def __init__(self):
        super().__init__()
        self.factor = 3
        self.count = 2

    def forward(self, x):
        for _ in range(self.count):
            x = x * self.factor
        return x


@program(floats(2, 3))
class Annotated(nn.Module):
    sizes: list[int]
    cache: dict[str, Tensor]
    last: Tensor | None

    def __init__(self):
        super().__init__()
        self.sizes = []
        self.cache = {}
        self.last = None

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        last = self.last
        if last is not None:
            x = x + last
        return x, len(self.sizes) + len(self.cache)


@program(plain(2, 3))
class ChangesAttributes(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.sizes = [1]

    def forward(self, x):
        self.calls += 1
        self.sizes.append(x.size(0))
        return x * self.calls, len(self.sizes)


@program(floats(2, 3))
class EditedAfterwards(nn.Module):
    """Layers that were changed behind their constructors."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool1d(2)
        self.pool.ceil_mode = True
        self.drop = nn.Dropout(0.5)
        self.drop.p = 0.1
        self.head = nn.Linear(2, 5)
        self.head.bias = None

    def forward(self, x):
        return self.head(self.drop(self.pool(x)))


@program(floats(2, 3))
class ReplacedLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 10))
        self.net[2] = nn.Linear(3, 2)
        self.net.add_module("extra", nn.Tanh())
        del self.net[1]

    def forward(self, x):
        return self.net(x)


@program(floats(4, 3))
class Hooks(nn.Module):
    def __init__(self):
        super().__init__()
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))

    def forward(self, x):
        return self.normed(x)
