"""Methods and functions that are wrapped: what is around them runs, too."""

import functools

import torch
from torch import nn

from programs.case import floats, program


def doubled(function):
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        return function(*args, **kwargs) * 2

    return wrapped


class One(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)


@program(floats(3, 4), grade="shell")
class Forward(One):
    @doubled
    def forward(self, x):
        return self.linear(x)


@program(floats(3, 4), grade="shell")
class NoGradient(One):
    @torch.no_grad()
    def forward(self, x):
        return self.linear(x)


@program(floats(3, 4), grade="shell")
class Method(One):
    @doubled
    def go(self, x):
        return self.linear(x)

    def forward(self, x):
        return self.go(x) + 1


@program(floats(3, 4), grade="shell")
class MethodWithoutGradient(One):
    @torch.no_grad()
    def go(self, x):
        return self.linear(x)

    def forward(self, x):
        return self.go(x) + self.linear(x)


@program(floats(3, 4), grade="basic")
class Static(nn.Module):
    @staticmethod
    @doubled
    def go(x):
        return x + 1

    def forward(self, x):
        return self.go(x) + 1


@program(floats(3, 4), grade="basic")
class OfTheClass(nn.Module):
    @classmethod
    @doubled
    def go(cls, x):
        return x + 1

    def forward(self, x):
        return self.go(x) + 1


@program(floats(3, 4), grade="shell")
class Property(One):
    @property
    @doubled
    def factor(self):
        return 3

    def forward(self, x):
        return self.linear(x) * self.factor


@program(floats(3, 4), grade="basic", python="basic")
class Cached(nn.Module):
    @functools.cache  # noqa: B019
    def factor(self, n: int):
        return n * 3

    def forward(self, x):
        return x * self.factor(2)


@doubled
def shifted(x):
    return x + 1


@program(floats(3, 4))
class Helper(nn.Module):
    """A function that is called by its name is as it is."""

    def forward(self, x):
        return shifted(x)


def local():
    @doubled
    def inner(x):
        return x + 1

    return inner


inner = local()


@program(floats(3, 4))
class Local(nn.Module):
    def forward(self, x):
        return inner(x)
