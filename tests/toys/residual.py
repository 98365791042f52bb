"""A small residual net, as a library would write it, and what tests do with mutations of it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.graph import Graph, Mutator, convert, generate, lint, load_source, recording
from runner.graph.transforms.mutator import mutate
from runner.space.sample import Walk, lookup

EXAMPLE = (3, 12, 12)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.relu(self.conv(x)) + x, inplace=True)


class Same(nn.Conv2d):
    """Finds its padding out by itself."""

    def forward(self, x: Tensor) -> Tensor:
        pad = (self.weight.shape[2] - 1) // 2
        return F.conv2d(F.pad(x, (pad, pad, pad, pad)), self.weight, self.bias)


class Net(nn.Module):
    """Takes (N, 3, 12, 12)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Same(3, 8, 3)
        self.layer1 = nn.Sequential(Block(8), Block(8))
        self.blocks = nn.ModuleList([Block(8) for _ in range(3)])
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 5)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.constant_(module.weight, 0.1)
        nn.init.ones_(self.blocks[2].conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.stem(x))  # (N, 8, 12, 12)
        x = self.layer1(x)
        for block in self.blocks:
            x = block(x)
        x = self.pool(x).mean((2, 3))  # (N, 8)
        return self.fc(self.drop(x))


def converted(make: Callable[[], nn.Module] = Net) -> Graph:
    with recording():
        model = make()
    graph = convert(model)
    graph.example = EXAMPLE
    return graph


def mutated(
    graph: Graph, *mutators: Mutator, sample: dict | None = None
) -> tuple[Graph, dict[str, object]]:
    """A mutated copy, checked, and what was asked; without a sample all is first candidates."""
    copy = graph.copy()
    walk = Walk((lambda choice: choice.default) if sample is None else lookup(sample))
    mutate(copy, mutators, walk, base=graph)
    lint(copy, decided=True)
    return copy, walk.sample


def built(graph: Graph, shape: tuple[int, ...] = (2, *EXAMPLE)) -> nn.Module:
    """The model of a graph, as its source makes it; it, and that of standalone source, can learn
    and be evaluated."""
    models = []
    for standalone in (True, False):
        torch.manual_seed(0)
        model = load_source(generate(graph, standalone=standalone), graph.tensors).build()
        model(torch.randn(shape)).square().sum().backward()
        model.zero_grad()
        assert model.eval()(torch.randn(shape)).isfinite().all()
        models.append(model.train())
    ours, theirs = ({k: v.shape for k, v in model.state_dict().items()} for model in models)
    assert ours == theirs
    return models[-1]


def source(graph: Graph) -> str:
    return generate(graph)


def keys(model: nn.Module) -> list[str]:
    return [*model.state_dict()]


def same(one: nn.Module, other: nn.Module, shape: tuple[int, ...] = (2, *EXAMPLE)) -> bool:
    """Whether two models give the same in eval mode, the second with the weights of the first."""
    other.load_state_dict(one.state_dict(), strict=False)
    x = torch.randn(shape)
    with torch.no_grad():
        return torch.allclose(one.eval()(x), other.eval()(x), atol=1e-5)


class Opaque(nn.Module):
    """Beyond all front ends: its forward has a `try`. Its children can be changed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList([Block(8) for _ in range(2)])

    def forward(self, *tensors: Tensor) -> Tensor:
        try:
            x = self.conv(tensors[0])
        finally:
            self.calls = len(tensors)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))


class Shared(nn.Module):
    """Calls one module twice, on other widths; and a function in a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.narrow = nn.Conv2d(3, 4, 1)
        self.wide = nn.Conv2d(4, 6, 1)
        self.drop = nn.Dropout(0.1)
        self.deep = True

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.narrow(x))
        x = self.relu(self.wide(x)) * 2
        if x.shape[0] > 1:
            x.relu_()
        p = self.drop.p
        return torch.nn.functional.dropout(self.drop(x), p, self.training).mean((2, 3))
