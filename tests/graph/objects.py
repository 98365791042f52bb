"""Modules that hold objects, and what is put on modules; each is written out or kept, and noted."""

import argparse
import collections
import dataclasses
import decimal
import enum
import fractions
import functools
import pathlib
import re
import types
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

SCALE = 7.0


def measure(thing: Any, depth: int = 6) -> float:
    """A number that depends on all that a thing holds."""
    if isinstance(thing, Tensor):
        return float(thing.double().sum()) + thing.dim() + 3 * thing.is_floating_point()
    if isinstance(thing, np.ndarray | np.generic):
        return float(np.asarray(thing, float).sum()) + len(str(thing.dtype))
    if isinstance(thing, torch.Generator):
        return float(torch.rand((), generator=thing))
    kind = sum(map(ord, type(thing).__name__)) / 64
    if isinstance(thing, dict):
        kind += sum((i + 1) * measure(v, depth - 1) for i, v in enumerate(thing.values()))
    elif isinstance(thing, list | tuple | set | frozenset | range | collections.deque):
        kind += sum((i + 1) * measure(v, depth - 1) for i, v in enumerate(thing))
    elif isinstance(thing, int | float):
        kind += float(thing)
    elif callable(thing) and not hasattr(thing, "__dict__"):
        kind += 1
    state = getattr(thing, "__dict__", {}) if not callable(thing) and depth else {}
    slots = [s for s in getattr(type(thing), "__slots__", ()) if hasattr(thing, s)]
    if not isinstance(thing, enum.Enum):
        kind += sum((i + 2) * measure(v, depth - 1) for i, v in enumerate(state.values()))
        kind += sum((i + 3) * measure(getattr(thing, s), depth - 1) for i, s in enumerate(slots))
    return kind


class Holds(nn.Module):
    """What it computes depends on all that its attribute holds."""

    def __init__(self, thing: Any = None) -> None:
        super().__init__()
        self.thing = thing
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x) * measure(self.thing)


@dataclasses.dataclass
class Config:
    width: int = 8
    parts: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Derived(Config):
    late: int = dataclasses.field(init=False, default=5)
    factor: dataclasses.InitVar[int] = 3

    def __post_init__(self, factor):
        self.area = self.width * factor


@dataclasses.dataclass(frozen=True)
class Frozen:
    width: int = 8


@dataclasses.dataclass(slots=True)
class Slotted:
    width: int = 8
    late: int = dataclasses.field(init=False, default=5)


class Plain:
    def __init__(self, width):
        self.width = width


class Hidden:
    def __init__(self, width):
        self._width = width * 2

    @property
    def width(self):
        return self._width


class Magic:
    """Gives whatever is asked for."""

    def __init__(self, **known):
        self.__dict__["known"] = known

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["known"][name]


class Dotted(dict):
    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(name)
        return self[name]


class Items(list):
    pass


class Number(int):
    pass


class Pair(NamedTuple):
    first: int
    second: Any


class Colour(enum.Enum):
    RED = 1


class Bits(enum.Flag):
    ONE = 1
    TWO = 2


def with_later(thing: Any, **later: Any) -> Any:
    for name, value in later.items():
        object.__setattr__(thing, name, value)
    return thing


def without(thing: Any, name: str) -> Any:
    delattr(thing, name)
    return thing


OBJECTS = {
    "config": lambda: Config(4, [1, 2]),
    "config, field set later": lambda: with_later(Config(), width=5),
    "config, attribute set later": lambda: with_later(Config(), extra=5),
    "config, attribute gone": lambda: without(with_later(Plain(3), extra=2), "width"),
    "config in config": lambda: Config(4, [with_later(Config(), extra=5), {"a": Frozen(3)}]),
    "derived": lambda: Derived(4, factor=6),
    "derived, set later": lambda: with_later(Derived(4), late=9, area=1),
    "frozen": lambda: with_later(Frozen(), width=2, extra=4),
    "slotted": lambda: with_later(Slotted(), late=9),
    "plain": lambda: with_later(Plain(4), width=5, extra=6),
    "hidden": lambda: with_later(Hidden(4), _width=5),
    "magic": lambda: Magic(width=4),
    "dotted": lambda: Dotted(width=4, parts=[1]),
    "dotted, set later": lambda: with_later(Dotted(width=4), extra=[1]),
    "items": lambda: with_later(Items([1, 2]), extra=4),
    "number": lambda: with_later(Number(3), extra=4),
    "namespace": lambda: types.SimpleNamespace(width=4, inner=types.SimpleNamespace(a=2)),
    "arguments": lambda: argparse.Namespace(width=4),
    "pair": lambda: Pair(3, [Pair(1, 2.5)]),
    "member": lambda: [Colour.RED, Bits.ONE | Bits.TWO],
    "array": lambda: np.arange(6.0).reshape(2, 3),
    "array of int16": lambda: np.array([[1, 2], [3, 4]], np.int16),
    "no elements": lambda: np.zeros((0, 3), np.float32),
    "scalars of numpy": lambda: [np.float64(2.5), np.int64(3), np.float32(0.1), np.bool_(True)],
    "generator": lambda: torch.Generator().manual_seed(3),
    "size": lambda: torch.Size((2, 3)),
    "sets": lambda: [{1, 2}, frozenset((3,)), set()],
    "bytes": lambda: [b"ab\xff", bytearray(b"c"), range(1, 9, 2), 2 + 1j],
    "numbers": lambda: [decimal.Decimal("1.5"), fractions.Fraction(3, 4), -0.0, float("inf")],
    "paths": lambda: [pathlib.PurePosixPath("a/b"), re.compile("ab", re.IGNORECASE)],
    "functions": lambda: [functools.partial(pow, exp=2), measure, len, Config, Plain(3).__init__],
    "collections": lambda: [
        collections.deque([1, 2], maxlen=5), collections.OrderedDict(b=1, a=2),
        collections.defaultdict(int, a=2), collections.Counter("aab"),
    ],
    "tensors": lambda: [torch.tensor([1.0, 2.0]), torch.arange(30), torch.ones(2).double()],
}  # fmt: skip


def shared() -> Any:
    part = [1]
    return [part, part]


def endless() -> Any:
    found: list[Any] = [1]
    found.append(found)
    return found


REFUSED = {
    "a lambda": lambda: lambda x: x,
    "a local class": lambda: type("Local", (), {})(),
    "a used generator": lambda: used_generator(),
    "factory without a name": lambda: collections.defaultdict(lambda: 3),
    "a file": lambda: types.SimpleNamespace(view=memoryview(b"a")),
    "one list twice": shared,
}


def used_generator() -> torch.Generator:
    generator = torch.Generator().manual_seed(3)
    torch.rand(3, generator=generator)
    return generator


# What is put on modules


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)

    def helper(self, x):
        return x * 2

    def forward(self, x):
        return self.b(torch.relu(self.helper(self.a(x))))


def thrice(self, x):
    return self.b(self.a(x)) * 3


def double(gradient):
    return gradient * 2


class HooksWeight(Two):
    def __init__(self) -> None:
        super().__init__()
        self.a.weight.register_hook(lambda gradient: gradient * 2)


class HooksAfterwards(Two):
    def __init__(self) -> None:
        super().__init__()
        self.a.weight.register_post_accumulate_grad_hook(double)


class MarksWeight(Two):
    def __init__(self) -> None:
        super().__init__()
        self.a.weight.scale = 3.0

    def forward(self, x):
        return self.a(x) * getattr(self.a.weight, "scale", 1.0)


class Takes(Two):
    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self.forward = other.forward


class TakesForward(nn.Module):
    """One of two runs the forward of the other, with the other's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Two(), Two()
        self.one.forward = self.two.forward

    def forward(self, x):
        return self.one(x) + 1


class PatchesHelper(Two):
    def __init__(self) -> None:
        super().__init__()
        self.helper = types.MethodType(lambda self, x: x * 5, self)


class PatchesForward(Two):
    def __init__(self) -> None:
        super().__init__()
        self.forward = types.MethodType(thrice, self)


class Runs(nn.ModuleList):
    def run(self, x):
        for layer in self:
            x = layer(x)
        return x * 2


class CallsRun(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = Runs([nn.Linear(3, 3), nn.Linear(3, 3)])

    def forward(self, x):
        return self.layers.run(x)


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor

    def right_inverse(self, x):
        return x / self.factor


class Parametrized(Two):
    def __init__(self) -> None:
        super().__init__()
        parametrize.register_parametrization(self.a, "weight", Scaled(2.0))
        parametrize.register_parametrization(self.a, "weight", Symmetric())
        parametrize.register_parametrization(self.a, "bias", Scaled(3.0))


class ParametrizedByLocal(Two):
    def __init__(self) -> None:
        super().__init__()

        class Local(nn.Module):
            def forward(self, x):
                return x * 2

        parametrize.register_parametrization(self.a, "weight", Local())


class OwnParametrized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 3))
        parametrize.register_parametrization(self, "w", Symmetric())

    def forward(self, x):
        return x @ self.w


class InPlainList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = []
        for i in range(2):
            self.blocks.append(nn.Linear(3, 3))
            self.add_module(f"block{i}", self.blocks[-1])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Appends(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        layers.append(self)

    def forward(self, x):
        return self.a(x)


class AppendsItself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.one, self.two = Appends(layers), Appends(layers)

    def forward(self, x):
        return self.two(self.one(x))


class Child(nn.Module):
    def __init__(self, parent: nn.Module) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.parent = [parent]

    def forward(self, x):
        return self.a(x) * self.parent[0].factor


class KnowsParent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.child = Child(self)
        self.factor = 2

    def forward(self, x):
        return self.child(x)


class FilledLazily(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.LazyConv1d(4, 1, 1)
        self.n = nn.LazyBatchNorm1d()
        self.b = nn.LazyLinear(3)
        self(torch.ones(2, 3))

    def forward(self, x):
        return self.b(self.n(self.a(x[:, :, None]))[:, :, 0])


def local_sequential() -> nn.Module:
    class Local(nn.Sequential):
        pass

    return Local(nn.Linear(3, 3), nn.ReLU())


def local_dict() -> nn.Module:
    class Local(nn.ModuleDict):
        def factor(self) -> int:
            return 2

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = Local({"a": nn.Linear(3, 3)})

        def forward(self, x):
            return self.layers["a"](x) * self.layers.factor()

    return Net()


def inside(cls):
    return lambda: nn.Sequential(cls(), nn.ReLU())


def patched(**members):
    """A model on whose first part something is put once it is there."""

    def make():
        model = nn.Sequential(Two(), Two())
        for name, value in members.items():
            setattr(model[0], name, value(model))
        return model

    return make


def hooked():
    model = nn.Sequential(Two(), Two())
    model[0].a.weight.register_hook(double)
    return model


def compiled():
    return nn.Sequential(torch.compile(Two(), backend="eager"), nn.ReLU())


def with_local_parametrization():
    class Local(nn.Module):
        def forward(self, x):
            return x * 2

    model = Two()
    parametrize.register_parametrization(model.a, "weight", Local())
    return model


def unreadable_local():
    class Local(Two):
        def forward(self, x):
            return super().forward(x) * 2

    return nn.Sequential(Local(), nn.ReLU())


KEPT = {  # equal, whether written out or kept with a note
    cls.__name__: make
    for cls in (
        HooksWeight, HooksAfterwards, MarksWeight, TakesForward, PatchesHelper, PatchesForward,
        CallsRun, Parametrized, ParametrizedByLocal, OwnParametrized, InPlainList, AppendsItself,
        KnowsParent, FilledLazily,
    )
    for make in (cls,)
} | {
    f"inside, {cls.__name__}": inside(cls)
    for cls in (HooksWeight, MarksWeight, PatchesHelper, InPlainList, KnowsParent, FilledLazily)
} | {
    "local Sequential": local_sequential,
    "local ModuleDict": local_dict,
    "a readable forward": patched(forward=lambda model: types.MethodType(thrice, model[0])),
}  # fmt: skip
LOST = {  # refused before a search
    "a hook on a weight": hooked,
    "the forward of another": patched(forward=lambda model: model[1].forward),
    "a lambda for forward": patched(forward=lambda model: lambda x: x * 2),
    "a partial for forward": patched(forward=lambda model: functools.partial(thrice, model[0])),
    "a lambda for a method": patched(helper=lambda model: lambda x: x * 4),
    "a compiled child": compiled,
    "a local parametrization": with_local_parametrization,
    "a local class that cannot be read": unreadable_local,
}
