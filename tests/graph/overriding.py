"""Models whose classes override methods of `nn.Module`, in the ways that are met."""

import contextlib
import math
import warnings

import overriding_helpers
import torch
import torch.nn.functional as F
from overriding_helpers import Block
from torch import nn
from torch.nn import BatchNorm1d

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
STAGES = 1
PATH = "stem.norm"


def set_eval(module: nn.Module) -> None:
    if isinstance(module, NORMS):
        module.eval()


def freeze_all(model: nn.Module, depth: int = STAGES) -> None:
    for _ in range(depth):
        model.apply(set_eval)


class FreezableBlock(Block):
    """Has methods that only those around it call."""

    @property
    def is_frozen(self) -> bool:
        return not self.norm.training

    def freeze(self):
        self.norm.eval()
        self.lin.requires_grad_(False)


class Net(nn.Module):
    frozen_stages: int = 1

    def __init__(self):
        super().__init__()
        self.frozen = True
        self.stem = Block()
        self.body = nn.Sequential(Block(), nn.Dropout(0.2), FreezableBlock())
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(self.stem(x)))


class ByClass(Net):
    def train(self, mode: bool = True) -> "ByClass":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        return self


class ByClassOfItsOwn(Net):
    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, (FreezableBlock, nn.Dropout)):
                module.eval()
        return self


class BySetting(Net):
    def train(self, mode=True):
        super().train(mode)
        if self.frozen and mode and self.frozen_stages >= STAGES:
            self.stem.eval()
            for parameter in self.stem.parameters():
                parameter.requires_grad = False
        return self


class ByHelpers(Net):
    def _stages(self):
        return [self.stem, self.body[0]]

    def __freeze(self, module):
        module.norm.eval()

    def train(self, mode=True):
        super().train(mode)
        for stage in self._stages():
            self.__freeze(stage)
        return self


class ByFunction(Net):
    def train(self, mode=True):
        super().train(mode)
        freeze_all(self)
        return self


class ByHelperElsewhere(Net):
    """Functions of another module know its classes."""

    def train(self, mode=True):
        super().train(mode)
        overriding_helpers.freeze_blocks(self)
        return self


class ByMethodOfChild(Net):
    def train(self, mode=True):
        super().train(mode)
        if not self.body[2].is_frozen:
            self.body[2].freeze()
        return self


class ByPath(Net):
    def train(self, mode=True):
        nn.Module.train(self, mode)
        self.get_submodule(PATH).train(False)
        getattr(self, "stem").lin.weight.requires_grad_(not mode)  # noqa: B009
        return self


class OldSuper(Net):
    def train(self, mode=True):
        super(OldSuper, self).train(mode)  # noqa: UP008
        self.stem.norm.eval()
        return self


class Chained(BySetting):
    """Its own method, and that of the class above."""

    def train(self, mode=True):
        super().train(mode)
        self.body[0].norm.eval()
        return self


class ChainedByName(ByClass):
    def train(self, mode=True):
        ByClass.train(self, mode)
        self.body[0].act.eval()
        return self


class Freezes:
    """No module, but before one in the order of classes."""

    def train(self, mode=True):
        super().train(mode)
        self.stem.norm.eval()
        return self


class Mixed(Freezes, Net):
    pass


class Evals(Net):
    def eval(self):
        self.head.requires_grad_(False)
        return super().eval()


class Decorated(Net):
    @torch.no_grad()
    def train(self, mode=True):
        super().train(mode)
        self.head.bias.add_(math.pi if mode else F.relu(torch.ones(())).item())
        return self


class NeverTrains(Net):
    def train(self, mode: bool = True):
        count: int = 0
        with warnings.catch_warnings(), contextlib.suppress(ValueError):
            warnings.simplefilter("ignore")
            count += 1
        names = {name: f"{name}.{count}" for name in ("a", "b")}
        return super().train(len(names) < count)


class Grads(Net):
    def requires_grad_(self, requires_grad: bool = True):
        super().requires_grad_(requires_grad)
        self.stem.requires_grad_(False)
        return self


class Parameters(Net):
    """Gives an optimizer nothing that is frozen."""

    def parameters(self, recurse=True):
        return (p for p in super().parameters(recurse) if p.shape[0] != 3)


class Casts(Net):
    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.head.float()
        return self


class Saves(Net):
    def state_dict(self, *args, **kwargs):
        found = super().state_dict(*args, **kwargs)
        return {f"net.{name}": value for name, value in found.items()}

    def load_state_dict(self, state, strict=True, assign=False):
        state = {name.removeprefix("net."): value for name, value in state.items()}
        return super().load_state_dict(state, strict, assign)


class Counts(Net):
    def __init__(self):
        super().__init__()
        self.seen: list[bool] = []

    def train(self, mode=True):
        self.seen.append(mode)
        self.frozen = len(self.seen) > 1
        return super().train(mode)

    def __len__(self):
        return len(self.seen)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.body(x) if self.frozen else x)


class FrozenNorm(BatchNorm1d):
    """A subclass of a layer."""

    def train(self, mode=True):
        return super().train(False)


class FrozenBody(nn.Sequential):
    """A container."""

    def train(self, mode=True):
        super().train(mode)
        self[0].norm.eval()
        return self


class Inside(nn.Module):
    """Its parts override, it does not."""

    def __init__(self):
        super().__init__()
        self.stem = Block()
        self.body = FrozenBody(Block(), FreezableBlock())
        self.net = BySetting()
        self.norm = FrozenNorm(3)

    def forward(self, x):
        return self.norm(self.net(self.body(self.stem(x))))


SHAPES = [
    *(ByClass, ByClassOfItsOwn, BySetting, ByHelpers, ByFunction, ByMethodOfChild, ByPath),
    ByHelperElsewhere,
    *(OldSuper, Chained, ChainedByName, Mixed, Evals, Decorated, NeverTrains, Grads),
    *(Parameters, Casts, Saves, Counts, Inside),
]

# What cannot be copied, and why.

LOG: list[bool] = []


class Thing:
    """An object of the user's."""

    on = True


THING = Thing()


def logged(function):
    def run(self, mode=True):
        return function(self, mode)

    return run


def made(frozen):
    def train(self, mode=True):
        return nn.Module.train(self, mode and not frozen)

    return train


class Logs(Net):
    def train(self, mode=True):
        LOG.append(mode)
        return super().train(mode)


class AsksObject(Net):
    def train(self, mode=True):
        return super().train(mode and THING.on)


class AsksType(Net):
    def train(self, mode=True):
        return super().train(mode and type(self.stem) is Block)


class Wrapped(Net):
    @logged
    def train(self, mode=True):
        return super().train(mode)


class Made(Net):
    train = made(True)


class Sets(Net):
    def train(self, mode=True):
        global STAGES
        STAGES = 1
        return super().train(mode)


REFUSED = {
    Logs: "it uses LOG",
    AsksObject: "it uses THING",
    AsksType: "it uses Block",
    Wrapped: "is decorated by logged",
    Made: "train.. is not defined in the source of Made",
    Sets: "changes the global 'STAGES'",
}
