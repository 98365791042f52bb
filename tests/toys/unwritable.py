"""Spaces whose models have no source, or whose models differ whenever they are built."""

import torch

from runner import nn


def local():
    class Local(nn.Module):
        def forward(self, x):
            try:  # no graph holds this
                return x + 1
            finally:
                pass

    return Local()


@nn.model_wrapper
class OfLocalClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, nn.ValueChoice([4, 8], label="n"))
        self.local = local() if nn.ValueChoice([True, False], label="local") else nn.Identity()

    def forward(self, x):
        return self.local(self.head(x.flatten(1)))


@nn.model_wrapper
class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, nn.ValueChoice([4, 8], label="n")))
        self.head.register_forward_hook(lambda module, inputs, output: output * 2)

    def forward(self, x):
        return self.head(x)


class Drawn(nn.Module):
    def __init__(self):
        super().__init__()
        self.mask = torch.rand(10)
        self.scale = float(torch.rand(()))
        self.register_buffer("shift", torch.rand(10), persistent=False)
        self.register_buffer("kept", torch.rand(10))

    def forward(self, x):
        return x * self.mask * self.scale + self.shift + self.kept


@nn.model_wrapper
class Redrawn(nn.Module):
    def __init__(self, inputs: int = 64, classes: int = 10):
        super().__init__()
        self.head = nn.Linear(inputs, classes, bias=nn.ValueChoice([True, False], label="bias"))
        self.drawn = Drawn()

    def forward(self, x):
        return self.drawn(self.head(x.flatten(1)))
