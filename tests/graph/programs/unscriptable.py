"""Programs that TorchScript cannot read: kept as they are, with equal results."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from programs.case import add, floats, ints, plain, program

SCALE = 2.5


@program(floats(3, 4), grade="basic")
class BuildsLayerInForward(nn.Module):
    def forward(self, x):
        return torch.nn.Hardtanh(-0.5, 0.5)(x)


@program({"a": floats(2), "b": floats(2)}, grade="basic")
class UntypedDict(nn.Module):
    def forward(self, x):
        return {key: value * 2 for key, value in x.items() if key != "b"}


@program(floats(2, 3), floats(2, 3), grade="basic")
@program(floats(2, 3), y=floats(2, 3), grade="basic")
class AnyArguments(nn.Module):
    def forward(self, *xs, **named):
        return sum(xs) + sum(named.values())


@program((floats(2, 3), floats(2, 3)), grade="basic")
class UntypedTuple(nn.Module):
    def forward(self, inputs):
        return torch.cat(inputs, 1)


@program(floats(4, 5, 3), ints(3, 2), grade="basic")
class EllipsisAndTensor(nn.Module):
    def forward(self, x, rows):
        return x[..., rows[0]], x[range(2), 1]


@program(plain(2, 3), grade="basic")
class ShortCasts(nn.Module):
    def forward(self, x):
        return x.bool(), x.char(), x.byte(), x.bfloat16(), x.new_tensor([1.0])


@program(floats(2, 3), grade="basic")
class GlobalNumber(nn.Module):
    def forward(self, x):
        return x * SCALE + torch.pi, F.relu(x) if SCALE > 2 else x


class Zips(nn.Module):
    """Loops over layers and tensors together, as cells of DARTS do."""

    def __init__(self):
        super().__init__()
        self.ops = nn.ModuleList([nn.Linear(3, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 3))])

    def forward(self, xs: list[Tensor]):
        return sum(op(x) for op, x in zip(self.ops, xs))  # noqa: B905


program([floats(2, 3), floats(2, 3)], grade="shell")(Zips)


class Wraps(nn.Module):
    """Keeps its forward, while its child can be read."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, *xs):
        return self.linear(xs[0])


class HoldsVariadic(nn.Module):
    """Calls a child that takes any arguments, which TorchScript knows no type for."""

    def __init__(self):
        super().__init__()
        self.wraps = Wraps()
        self.after = nn.Linear(3, 2)

    def forward(self, x):
        return self.after(self.wraps(x))


program(floats(2, 3), grade="shell")(HoldsVariadic)


class Bag(nn.Module):
    """Can be asked for its length and its parts."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.sizes = [4, 5]

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> int:
        return self.sizes[i]

    def __contains__(self, n: int) -> bool:
        return n in self.sizes

    def forward(self, x):
        return self.linear(x) * len(self.sizes)


@program(floats(2, 3), grade="shell")
class AsksBag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = Bag()

    def forward(self, x):
        return self.bag(x) * len(self.bag), self.bag[1], 5 in self.bag


class Coder(nn.Module):
    """Has methods and attributes that its own forward does without."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.enc = nn.Linear(width, width)

    def encode(self, x):
        return self.enc(x).relu()

    def forward(self, x):
        return self.enc(x)


class UsesParts(nn.Module):
    """Uses more of its children than their forward, in a forward that cannot be read."""

    def __init__(self):
        super().__init__()
        self.coder = Coder(3)
        self.first = nn.Sequential(nn.Linear(3, 3), Coder(3))

    def forward(self, *xs):
        x = self.coder.encode(xs[0]) * self.coder.width
        return self.first[1].encode(x) + x @ self.coder.enc.weight, [
            m.width for m in self.first[1:]
        ]


program(floats(2, 3), grade="shell")(UsesParts)


class MyLinear(nn.Linear):
    """Calls the forward it inherits."""

    def forward(self, x):
        return super().forward(x) * 2


@program(floats(2, 3))
class CallsSuper(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = MyLinear(3, 3)

    def forward(self, x):
        return self.linear(x)


@program(floats(2, 3), grade="shell")
class ModuleListSlices(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)])

    def forward(self, x):
        for layer in self.layers[1:]:
            x = F.relu(layer(x))
        for layer in self.layers[:-1]:
            x = layer(x)
        return self.layers[-1](x)


class DynamicNames(nn.Module):
    """Reaches its children by computed names."""

    def __init__(self):
        super().__init__()
        for i in range(3):
            self.add_module(f"layer{i}", nn.Linear(3, 3))

    def forward(self, x):
        for i in range(3):
            x = getattr(self, f"layer{i}")(x)
        return x


program(floats(2, 3), grade="shell")(DynamicNames)


@program(floats(2, 3))
class HoldsUnscriptable(nn.Module):
    """Can itself be read; of its children, one cannot, and one only keeps its forward."""

    def __init__(self):
        super().__init__()
        self.before = nn.Linear(3, 3)
        self.inner = BuildsLayerInForward()
        self.shell = DynamicNames()
        self.after = nn.Linear(3, 2)

    def forward(self, x):
        return self.after(self.shell(self.inner(self.before(x))))


add("unscriptable.InSequential", lambda: nn.Sequential(nn.Linear(3, 3), Wraps()), (floats(2, 3),))


class Skip(nn.Module):
    """Known by its class."""

    def forward(self, x):
        return x


@program(floats(2, 3), grade="shell")
class AsksClass(nn.Module):
    """Tells its children apart by their class."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Skip(), nn.Linear(3, 3)])

    def forward(self, *xs):
        x = xs[0]
        for layer in self.layers:
            x = x + 1 if isinstance(layer, Skip) else layer(x)
        return x


class CallsDefault(nn.Module):
    """Keeps a lambda, the default of its constructor."""

    def __init__(self, act=lambda x: x * 2):
        super().__init__()
        self.act = act
        self.linear = nn.Linear(3, 3)

    def forward(self, *xs):
        return self.act(self.linear(xs[0]))


program(floats(2, 3), grade="shell")(CallsDefault)


class WithoutBody(nn.Module):
    """Has no children here, and takes a lambda."""

    def __init__(self, make, body: bool):
        super().__init__()
        if body:
            self.body = make()
        self.has_body = body

    def forward(self, x):
        return self.body(x) if self.has_body else x


add(
    "unscriptable.WithoutBody",
    lambda: nn.Sequential(nn.Linear(3, 3), WithoutBody(lambda: nn.ReLU(), False)),
    (floats(2, 3),),
)


class Halved(torch.autograd.Function):
    """x / 2 with a gradient of its own."""

    @staticmethod
    def forward(ctx, x):
        return x / 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 3


class KeepsFunction(nn.Module):
    """Keeps a method of a class as an attribute."""

    def __init__(self):
        super().__init__()
        self.halve = Halved.apply
        self.linear = nn.Linear(3, 3)

    def forward(self, *xs):
        return self.halve(self.linear(xs[0]))


program(floats(2, 3), grade="shell")(KeepsFunction)


class Marked(nn.Module):
    """Looks at what was written on its children."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Sequential(nn.Linear(3, 3)) for _ in range(2)])
        self.parts[0].keep = True

    def forward(self, *xs):
        x, kept = xs[0], []
        for part in self.parts:
            x = part(x)
            if getattr(part, "keep", False):
                kept.append(x)
        return x, kept


program(floats(2, 3), grade="shell")(Marked)


class _ByName(nn.Module):
    """TorchScript takes no parameters by name alone that have a default."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x, h=None, *, flag=False, times: int = 1):
        y = self.layer(x) * times
        if flag:
            y = y + 1
        return y if h is None else y + h


@program(floats(2, 4))
class CallsByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = _ByName()

    def forward(self, x):
        return self.kept(x, x) + self.kept(x, flag=True) + self.kept(x, h=x, times=3, flag=True)
