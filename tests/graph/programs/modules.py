"""What modules are made of: containers, sharing, parameters and buffers, methods, functions."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from programs.case import floats, program


class ConvBNReLU(nn.Sequential):
    """A Sequential with a constructor of its own."""

    def __init__(self, width: int = 3):
        super().__init__(
            nn.Conv2d(3, width, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=False)
        )


@program(floats(2, 3, 4, 4))
class InheritsSequential(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_bn_relu = ConvBNReLU()

    def forward(self, x):
        return self.conv_bn_relu(x)


class ScaledSequential(nn.Sequential):
    """A Sequential with a forward of its own."""

    def forward(self, x):
        for layer in self:
            x = layer(x) * 0.5
        return x


@program(floats(2, 3))
class Sequentials(nn.Module):
    def __init__(self):
        super().__init__()
        named = OrderedDict(first=nn.Linear(3, 4), act=nn.ReLU(inplace=True), last=nn.Linear(4, 3))
        self.named = nn.Sequential(named)
        self.nested = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Tanh()), nn.Identity())
        self.scaled = ScaledSequential(nn.Linear(3, 3), nn.GELU())
        self.empty = nn.Sequential()

    def forward(self, x):
        y = self.nested(self.empty(self.named(x)))
        for layer in self.nested:
            y = layer(y)
        return self.scaled(y) + self.named[2](self.named.first(x)), len(self.nested)


@program(floats(4, 3))
class NestedModuleLists(nn.Module):
    def __init__(self):
        super().__init__()
        lists = [nn.ModuleList(nn.Linear(3, 3) for _ in range(2)) for _ in range(3)]
        self.ops = nn.ModuleList(lists)

    def forward(self, x):
        state = x
        for ops in self.ops:
            for op in ops:
                state = op(state)
        for i, ops in enumerate(self.ops):
            state = state + ops[-1](x) * i
        return state, len(self.ops), self.ops[1][0](x)


@program(floats(2, 3))
class ModuleDicts(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Identity(), "c": nn.Linear(3, 3)})

    def forward(self, x):
        out: dict[str, Tensor] = {}
        for name, head in self.heads.items():
            out[name] = head(x) * len(name)
        for head in self.heads.values():
            x = head(x)
        if "a" in self.heads:
            x = x + self.heads["a"](x)
        return out, x


@program(floats(2, 3))
class SharedModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = self.a
        self.both = nn.Sequential(self.a, nn.ReLU(), self.a)
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.a.weight

    def forward(self, x):
        return self.both(self.a(x)) + self.b(x) + self.tied(x)


@program(torch.tensor([2]))
class SharedThroughSequential(nn.Module):
    """The shared layers are called through the Sequential only."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(40, 5)
        self.lin1 = nn.Linear(5, 1)
        self.seq = nn.Sequential(self.emb, self.lin1)

    def forward(self, x):
        return self.seq(x)


class Leaf(nn.Module):
    """Gets another activation in each place."""

    def __init__(self, width: int, act: type[nn.Module], *, bias: bool = True):
        super().__init__()
        self.linear = nn.Linear(width, width, bias=bias)
        self.act = act()

    def forward(self, x):
        return self.act(self.linear(x))


class Tree(nn.Module):
    """Modules of the same class inside itself."""

    def __init__(self, depth: int, act: type[nn.Module]):
        super().__init__()
        self.leaf = Leaf(3, act, bias=depth > 1)
        self.left = Tree(depth - 1, nn.SiLU) if depth else nn.Identity()
        self.right = Tree(depth - 1, act) if depth > 1 else nn.Identity()

    def forward(self, x):
        x = self.leaf(x)
        return self.left(x) + self.right(x)


program(floats(2, 3), init=(2, nn.ReLU))(Tree)


class TakesModules(nn.Module):
    """Modules as arguments of the constructor."""

    def __init__(self, body: nn.Module, heads: list[nn.Module]):
        super().__init__()
        self.body = body
        self.heads = nn.ModuleList(heads)

    def forward(self, x):
        x = self.body(x)
        return [head(x) for head in self.heads]


@program(floats(2, 3))
class GivesModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = TakesModules(Leaf(3, nn.Tanh), [nn.Linear(3, i) for i in (1, 2)])

    def forward(self, x):
        a, b = self.net(x)
        return a, b


@program(floats(2, 3))
class UnusedChildren(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(3, 3)
        self.unused = nn.Linear(3, 9)
        self.aux = nn.Sequential(nn.Linear(3, 1))

    def forward(self, x):
        return self.used(x)


@program(floats(2, 3))
class NamesInList(nn.Module):
    """A list whose children were put there under names."""

    def __init__(self):
        super().__init__()
        self.path = nn.ModuleList()
        self.path.add_module("pad", nn.Linear(3, 3))
        self.path.add_module("conv", nn.Linear(3, 3))

    def forward(self, x):
        for part in self.path:
            x = part(x)
        return x
