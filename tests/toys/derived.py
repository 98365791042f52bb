"""Spaces in which things of all kinds follow from a choice: a constructor call alone loses them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from runner import nn


class Plain(nn.Module):
    """A linear layer with another one inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Factor:
    """An object of one's own."""

    def __init__(self, factor: float) -> None:
        self.factor = factor


MADE: dict[str, Callable[[bool], Any]] = {
    "function": lambda a: torch.tanh if a else torch.zeros_like,
    "dict": lambda a: {"scale": 1.0 if a else 0.5},
    "object": lambda a: Factor(1.0 if a else 0.5),
    "set": lambda a: {1, 2} if a else {1},
    "range": lambda a: range(1 if a else 3),
    "bool": lambda a: True if a else 1,
    "lists": lambda a: [[1.0], [2.0]] if a else [[3.0]],
}


class Derived(nn.Module):
    """An attribute of a kind, which follows from a choice in plain Python."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        first = nn.ValueChoice(["a", "b"], label="which") == "a"
        self.linear = nn.Linear(4, 4)
        self.kind = kind
        self.thing = MADE[kind](bool(first))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.factor(x)

    def factor(self, x: Tensor) -> Any:
        thing = self.thing
        if self.kind == "function":
            return thing(x)
        if self.kind == "dict":
            return thing["scale"]
        if self.kind == "object":
            return thing.factor
        if self.kind == "bool":
            return len(str(thing))
        if self.kind == "lists":
            return sum(x[0] for x in thing)
        return len(thing)


@nn.model_wrapper
class Function(Derived):
    def __init__(self) -> None:
        super().__init__("function")


@nn.model_wrapper
class Dict(Derived):
    def __init__(self) -> None:
        super().__init__("dict")


@nn.model_wrapper
class Object(Derived):
    def __init__(self) -> None:
        super().__init__("object")


@nn.model_wrapper
class Set(Derived):
    def __init__(self) -> None:
        super().__init__("set")


@nn.model_wrapper
class Range(Derived):
    def __init__(self) -> None:
        super().__init__("range")


@nn.model_wrapper
class Bool(Derived):
    def __init__(self) -> None:
        super().__init__("bool")


@nn.model_wrapper
class Lists(Derived):
    def __init__(self) -> None:
        super().__init__("lists")


@nn.model_wrapper
class Buffer(nn.Module):
    """First values that follow from a choice."""

    def __init__(self) -> None:
        super().__init__()
        which = nn.ValueChoice([1, 2], label="which")
        self.linear = nn.Linear(4, 4)
        value = 5.0 if which == 1 else 7.0
        self.register_buffer("kept", torch.full((4,), value))
        self.register_buffer("left", torch.full((4,), value), persistent=False)
        nn.init.constant_(self.linear.bias, value * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.kept + self.left


@nn.model_wrapper
class Asks(nn.Module):
    """A question to an open module in a constructor."""

    def __init__(self) -> None:
        super().__init__()
        candidates = {"plain": Plain, "lin": lambda: nn.Linear(4, 4), "id": nn.Identity}
        self.a = nn.LayerChoice(candidates, label="which")
        self.scale = 0.5 if isinstance(self.a, nn.Linear) else 1.0
        self.count = len(list(self.a.parameters()))

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) * self.scale + self.count


@nn.model_wrapper
class Thresholds(nn.Module):
    """A branch that depends on a number in between."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.ValueChoice([0.25, 0.75], label="which")
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        if self.p > 0.5:
            y = y * len(str(x.shape))
        return y


class Body(nn.Module):
    """What a factory changes later."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.act = nn.Linear(4, 4), nn.ReLU()
        self.function: Any = torch.tanh
        self.settings = {"scale": 1.0}

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.linear(x)) * self.settings["scale"] + self.function(x)


def factory() -> nn.Module:
    """A model that is not what its class makes."""
    model = Body()
    model.function = torch.zeros_like
    model.settings["scale"] = 0.25
    return model
