"""Conditions that call a method of what a call gives, which runs once."""

import torch
from torch import nn

from programs.case import plain, program


class Counted(nn.Module):
    """Changes what it is given, draws, and counts."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        self.calls += 1
        x.add_(1)
        return self.drop(x)


class Asking(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = Counted()


@program(plain(2, 3))
class IfMethod(Asking):
    def forward(self, x):
        y = x.clone()
        if self.gate(y).any():
            y = y * 2
        return y


@program(plain(2, 3))
class NotMethod(Asking):
    def forward(self, x):
        y = x.clone()
        if not self.gate(y).is_floating_point():
            y = y * 2
        return y


@program(plain(2, 3))
class AndMethod(Asking):
    def forward(self, x):
        y = x.clone()
        if y.dim() == 2 and self.gate(y).is_contiguous():
            y = y * 2
        return y


@program(plain(2, 3))
class ChosenByMethod(Asking):
    def forward(self, x):
        y = x.clone()
        z = 2 if self.gate(y).is_floating_point() else 3
        return y * z


@program(plain(2, 3))
class WhileMethod(Asking):
    def forward(self, x):
        y, n = x.clone(), 0
        while self.gate(y).is_floating_point() and n < 2:
            n += 1
        return y, n


@program(plain(2, 3))
class AssertedMethod(Asking):
    def forward(self, x):
        y = x.clone()
        assert self.gate(y).is_floating_point(), "whole numbers"
        return y


@program(plain(2, 3))
class MethodOfText(Asking):
    def forward(self, x):
        y = x.clone()
        if str(self.gate(y).dim()).isdigit():
            y = y * 2
        return y


@program(torch.tensor([0.25, 0.5, 0.0]))
class FractionIsTrue(nn.Module):
    """A number out of a tensor is true unless it is zero, and rounded only by `int`."""

    def forward(self, x):
        first, zero = x[0].item(), x[2].item()
        if first:
            x = x + 1
        if int(first):
            x = x + 2
        if not x[0].item():
            x = x + 3
        if zero:
            x = x + 4
        both = (first and 3.0, zero or 5.0, bool(first), int(first), bool(zero))
        return x if x[1].item() else x * 2, both
