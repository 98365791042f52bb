"""Spaces whose forward asks what was chosen: each sample has its own answer."""

from torch import Tensor

from runner import nn


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def two(label: str) -> nn.Module:
    """A module with features that can be counted, or one without."""
    candidates = {"plain": Plain, "linear": lambda: nn.Linear(4, 4)}
    return nn.LayerChoice(candidates, label=label)


class One(nn.Module):
    """What the others have in common."""

    def __init__(self) -> None:
        super().__init__()
        self.g = two("g")


class Two(nn.Module):
    """Likewise, with two choices in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = nn.ModuleList([two("a"), two("b"), nn.ReLU()])


@nn.model_wrapper
class Has(One):
    def forward(self, x: Tensor) -> Tensor:
        y = self.g(x)
        if hasattr(self.g, "in_features"):
            y = y * 0.5
        return y


@nn.model_wrapper
class Is(One):
    def forward(self, x: Tensor) -> Tensor:
        return self.g(x) * 3 if isinstance(self.g, Plain) else self.g(x)


@nn.model_wrapper
class OfType(One):
    def forward(self, x: Tensor) -> Tensor:
        if type(self.g) is nn.Linear:
            x = x + 1
        return self.g(x)


@nn.model_wrapper
class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Repeat(lambda i: nn.Linear(4, 4), (1, 3), label="depth")

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x) * len(self.blocks)


@nn.model_wrapper
class InALoop(Two):
    def forward(self, x: Tensor) -> Tensor:
        for m in self.ms:
            x = m(x)
            if isinstance(m, Plain):
                x = x * 2
        return x


@nn.model_wrapper
class Numbered(Two):
    def forward(self, x: Tensor) -> Tensor:
        for i, m in enumerate(self.ms):
            x = m(x)
            if hasattr(m, "in_features"):
                x = x * (2 + i)
        return x


@nn.model_wrapper
class ByAnotherName(One):
    def forward(self, x: Tensor) -> Tensor:
        g = self.g
        if hasattr(g, "in_features"):
            x = x * 2
        return g(x)


@nn.model_wrapper
class Gets(One):
    def forward(self, x: Tensor) -> Tensor:
        return self.g(x) * getattr(self.g, "in_features", 1)


@nn.model_wrapper
class Reads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g = nn.LayerChoice([nn.Linear(4, 4), nn.Linear(4, 4, bias=False)], label="g")

    def forward(self, x: Tensor) -> Tensor:
        if self.g.bias is None:
            x = x * 2
        return self.g(x) * self.g.in_features


class InAMethod(One):
    def is_plain(self) -> bool:
        return isinstance(self.g, Plain)

    def forward(self, x: Tensor) -> Tensor:
        return self.g(x) * 2 if self.is_plain() else self.g(x)


@nn.model_wrapper
class OfAChild(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.child = InAMethod()

    def forward(self, x: Tensor) -> Tensor:
        return self.child(x) * 2 if self.child.is_plain() else self.child(x)


@nn.model_wrapper
class OfAValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.ValueChoice([1, 2, 3], label="p")
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.p):
            x = self.linear(x)
        if self.p == 2:
            x = x * 5
        return x + 1 if isinstance(self.p, int) else x


@nn.model_wrapper
class Children(One):
    def forward(self, x: Tensor) -> Tensor:
        y = self.g(x)
        for _ in self.g.children():
            y = y + 1
        return y


@nn.model_wrapper
class NamedChildren(One):
    def forward(self, x: Tensor) -> Tensor:
        y = self.g(x)
        for i, (name, _) in enumerate(self.g.named_children()):
            y = y + i + len(name)
        return y


@nn.model_wrapper
class HowManyModules(One):
    def forward(self, x: Tensor) -> Tensor:
        k = 0
        for _ in self.modules():
            k += 1
        return self.g(x) * k + len(list(self.g.parameters()))


@nn.model_wrapper
class BehindAValue(One):
    """Seen only where another choice has another value."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.ValueChoice([1, 2], label="w")

    def forward(self, x: Tensor) -> Tensor:
        y = self.g(x)
        if self.w == 2:
            for _ in self.g.children():
                y = y + 1
        return y


@nn.model_wrapper
class BehindData(One):
    """Seen on other data than the example."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.g(x)
        if x.abs().max() > 1.5:
            for _ in self.g.modules():
                y = y + 1
        return y


@nn.model_wrapper
class EachBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Repeat(lambda i: nn.Linear(4, 4), (1, 3), label="depth")

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks.children():
            x = block(x)
        for name, block in self.blocks.named_children():
            if name == "1":
                x = block(x)
        return x


@nn.model_wrapper
class OfAnAttribute(One):
    def forward(self, x: Tensor) -> Tensor:
        y = self.g(x)
        return y * 2 if self.g.__class__.__name__ == "Linear" else y


@nn.model_wrapper
class GivenAway(One):
    """A choice that is computed with leaves the model."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.ValueChoice([1, 2], label="w")

    def forward(self, x: Tensor) -> tuple[Tensor, list[int]]:
        y = self.g(x)
        for v in [self.w, 2]:
            y = y * v
        return y, [self.w, 2]
