"""Programs that do more than TorchScript sees: kept so that they go on doing it."""

import types
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from programs.case import floats, program


@program(floats(4, 3))
class FrozenNorm(nn.Module):
    """Its norm stays in eval mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 3)

    def train(self, mode: bool = True):
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x):
        return self.head(self.norm(x))


@program(floats(4, 3))
class HoldsFrozenNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = FrozenNorm()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.body(x))


@program(floats(4, 3))
class CallsTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def __call__(self, x):
        return super().__call__(super().__call__(x))

    def forward(self, x):
        return self.head(x)


@program(floats(4, 3))
class ExtraState(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.version = 3

    def get_extra_state(self):
        return {"version": self.version}

    def set_extra_state(self, state):
        self.version = state["version"]

    def forward(self, x):
        return self.head(x)


@program(floats(4, 3))
class OnlyTrains(nn.Module):
    """Without children."""

    def train(self, mode: bool = True):
        return super().train(False)

    def forward(self, x):
        return x * 2 if self.training else x


@program(floats(4, 3))
class CountedSequential(nn.Sequential):
    """A container that keeps its forward, and whose call does more."""

    def __init__(self):
        super().__init__(nn.Linear(3, 3), nn.ReLU())

    def __call__(self, x):
        return super().__call__(x) + len(self)


class CachesBias(nn.Module):
    """Computes its bias once in eval mode, and forgets it when it is trained."""

    cache: dict[str, Tensor]

    def __init__(self, offsets: int = 3):
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.bias = nn.Parameter(torch.arange(float(offsets)))
        self.register_buffer("places", torch.tensor([2, 0, 1]), persistent=False)
        self.cache = {}

    @torch.no_grad()
    def train(self, mode: bool = True):
        super().train(mode)
        if mode and self.cache:
            self.cache = {}

    def biases(self, device: torch.device) -> Tensor:
        if self.training:
            return self.bias[self.places]
        key = str(device)
        if key not in self.cache:
            self.cache[key] = self.bias[self.places]
        return self.cache[key]

    def forward(self, x):
        return self.head(x) + self.biases(x.device)


@program(floats(4, 3))
class HoldsCaches(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(CachesBias(), nn.ReLU(), CachesBias())

    def forward(self, x):
        return self.body(x)


@program(floats(4, 3), grade="shell")
class CallsWithList(nn.Module):
    """Its forward tests what only its own call decides."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def __call__(self, x):
        return super().__call__([x, x])

    def forward(self, x):
        if isinstance(x, list):
            x = x[0] + x[1]
        return self.head(x)


class Resets(nn.Module):
    """Has a method that no forward calls."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.count = 0

    def reset(self):
        self.count = 0

    def forward(self, x):
        return self.head(x)


@program(floats(4, 3))
class ResetsChild(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Resets()

    def train(self, mode: bool = True):
        self.body.reset()
        return super().train(mode)

    def forward(self, x):
        return self.body(x)


def doubled(module, inputs, output):
    return output * 2


@program(floats(4, 3), grade="basic", python="basic")
class HooksChild(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)
        self.body.register_forward_hook(doubled)

    def forward(self, x):
        return self.head(self.body(x))


@program(floats(4, 3))
class HoldsHooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(HooksChild(), nn.ReLU())

    def forward(self, x):
        return self.inner(x)


@program(floats(4, 3), grade="basic", python="basic")
class HooksItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))

    def forward(self, x):
        return self.head(x)


@program(floats(4, 3), grade="basic", python="basic")
class Pruned(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
        mask = torch.eye(3)
        prune.custom_from_mask(self.head, "weight", mask)

    def forward(self, x):
        return self.head(x)


@program(floats(4, 3), grade="basic", python="basic")
class PatchesChild(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)
        self.body.forward = lambda x: x + 1

    def forward(self, x):
        return self.head(self.body(x))


@program(floats(4, 3), grade="basic", python="basic")
class FreezesChild(nn.Module):
    """Its norm stays in eval mode, by a method of its own."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3).eval()
        self.norm.train = lambda mode=True: self.norm

    def forward(self, x):
        return self.norm(x)


class Twice(nn.Module):
    def forward(self, x):
        return x * 2


def thrice(self, x):
    return x * 3


@program(floats(4, 3))
class PatchesReadable(nn.Module):
    """A forward that TorchScript can read, on one of three modules of a class."""

    def __init__(self):
        super().__init__()
        self.one, self.patched, self.two = Twice(), Twice(), Twice()
        self.patched.forward = types.MethodType(thrice, self.patched)

    def forward(self, x):
        return self.two(self.patched(self.one(x + 1) + 1) + 1)


@program(floats(4, 3))
class PatchesFirst(PatchesReadable):
    def __init__(self):
        super().__init__()
        self.one.forward = types.MethodType(thrice, self.one)
        del self.patched.forward


@program(floats(4, 3), grade="basic")
class HoldsLambda(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = lambda x: x * 2
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.scale(x))


@program(floats(4, 3))
class Ignores(nn.Module):
    """Calls methods that TorchScript is told to ignore, which take the module itself."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    @torch.jit.ignore
    def scaled(self, x):
        return x * 2

    def forward(self, x):
        return self.head(self.scaled(x))


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


@program(floats(4, 3))
class GivesPair(nn.Module):
    def forward(self, x):
        pair = Pair(x, x * 2)
        return Pair(pair.second, pair.first)


@program(floats(4, 3))
class CountsInEval(nn.Module):
    """Changes a buffer, one that is not saved, and an attribute whatever the mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("shift", torch.zeros(()), persistent=False)
        self.calls = 0

    def forward(self, x):
        self.seen += 1
        self.shift += 1
        self.calls += 1
        return x * self.seen + self.shift + self.calls


@program(floats(4, 3))
class Autocast(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.kind = torch.bfloat16

    def forward(self, x, low: bool = False):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.head(x)
        with torch.autocast(device_type="cpu", enabled=False):
            y = self.head(y.float())
        kind = torch.bfloat16
        if low:
            kind = torch.float16
        with torch.autocast("cpu", dtype=kind, cache_enabled=False):
            y = self.head(y)
        with torch.autocast("cpu", self.kind):
            return self.head(y), y
