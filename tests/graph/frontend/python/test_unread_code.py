"""Attributes that code outside the forwards changes are no constants."""

import copy

import pytest
import torch
from torch import nn

from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.nn.recording.construction_record import recording


class Lin(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.scale, self.seen = 2, [1]

    def forward(self, x):
        return self.lin(x) * (self.scale + len(self.seen) if self.scale > 1 else 1)


class Sets(Lin):
    def train(self, mode=True):
        self.scale = 5 if mode else 0
        return super().train(mode)


class ByMethod(Lin):
    def eval(self):
        self.set_scale(7)
        return super().eval()

    def set_scale(self, scale):
        self.scale = scale


def set_scale(module, scale):
    for part in module.children():
        if hasattr(part, "scale"):
            part.scale = scale


class OfChild(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Lin()

    def forward(self, x):
        return self.inner(x)

    def train(self, mode=True):
        set_scale(self, 3 + mode)
        return super().train(mode)


class ByName(Lin):
    def requires_grad_(self, requires_grad=True):
        setattr(self, "scale", 4)  # noqa: B010
        return super().requires_grad_(requires_grad)


class Appends(Lin):
    def train(self, mode=True):
        self.seen.append(mode)
        return super().train(mode)


class Deletes(Sets):
    scale = 1

    def train(self, mode=True):
        if "scale" in vars(self):
            del self.scale
        return super(Sets, self).train(mode)


class Unread(nn.Module):
    """Its forward cannot be read, and changes what its child reads."""

    def __init__(self):
        super().__init__()
        self.inner = Lin()

    def forward(self, x):
        try:
            self.inner.scale += 1
        finally:
            x = x + 1
        return self.inner(x)


class CountsIn(nn.Module):
    """Its forward cannot be read, and calls a method that changes its child."""

    def __init__(self):
        super().__init__()
        self.inner = ByMethod()

    def forward(self, x):
        try:
            self.inner.set_scale(self.inner.scale + 1)
        finally:
            x = x + 1
        return self.inner(x)


class Asks(Lin):
    def forward(self, x):
        return self.lin(x) * (2 if getattr(self, "was", False) else 1) + hasattr(self, "was")

    def train(self, mode=True):
        self.was = mode
        return super().train(mode)


class OfClass(Lin):
    known = 1

    def forward(self, x):
        return self.lin(x) * self.known

    def train(self, mode=True):
        self.known = 2 + mode
        return super().train(mode)


class Remembers(nn.Module):
    """Its forward cannot be read, and creates or sets attributes of its own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("sum", None, persistent=False)

    def forward(self, x):
        try:
            self.cache = self.sum = x.sum()
        finally:
            x = x + 1
        return x


class AsksChild(nn.Module):
    def __init__(self):
        super().__init__()
        self.child = Remembers()

    def forward(self, x):
        if hasattr(self.child, "cache"):
            x = x + self.child.cache
        old = getattr(self.child, "cache", None)
        x = self.child(x) * (1 if self.child.sum is None else 2)
        return x if old is None else x - old


CHANGED = [
    Sets, ByMethod, OfChild, ByName, Appends, Deletes, Unread, CountsIn, Asks, OfClass, AsksChild,
]  # fmt: skip


def run(model: nn.Module) -> list[torch.Tensor]:
    x = torch.ones(2, 3)
    found = [model(x), model(x)]
    for step in (model.train, model.eval, model.requires_grad_, model.train, model.eval):
        step()
        found.append(model(x))
    return found


@pytest.mark.parametrize("frontend", ["auto", "python"])
@pytest.mark.parametrize("cls", CHANGED)
def test_what_other_methods_change_is_read_each_time(cls, frontend):
    torch.manual_seed(0)
    with recording():
        model = cls()
    graph = convert(model, frontend=frontend)
    twin = load_source(generate(graph)).build()
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(run(twin), run(copy.deepcopy(model)), rtol=0, atol=0)


def test_what_no_other_method_changes_is_a_constant():
    with recording():
        model = Lin()
    text = generate(convert(model, frontend="python"))
    assert "if" not in text and "self.scale + len(self.seen)" not in text
