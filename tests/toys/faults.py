"""Models that do to their process, or keep from one build to the next, what models should not."""

import functools
import os
import sys

import numpy
import torch
from torch.nn import functional

from runner import nn


class Stop(BaseException):
    """No Exception."""


def _act(what: str) -> None:
    """Does something to the process."""
    if what == "chdir":
        os.chdir("/")
    elif what == "dtype":
        torch.set_default_dtype(torch.float64)
    elif what == "device":
        torch.set_default_device("cpu")
    elif what == "threads":
        torch.set_num_threads(3)
    elif what == "seed":
        numpy.random.seed(0)
    elif what == "environment":
        os.environ["FAULTS"] = "1"
    elif what == "patch":
        functional.relu = torch.relu
    elif what == "exit":
        sys.exit(3)
    elif what == "stop":
        raise Stop("no more")


class Acting(nn.Module):
    """Acts in its constructor or its forward pass."""

    def __init__(self, made="", run="", classes=3) -> None:
        super().__init__()
        _act(made)
        self.run = run
        self.inner = nn.Linear(4, nn.ValueChoice([8, 16], label="width"))
        self.outer = nn.Linear(self.inner.out_features, classes)

    def forward(self, x):
        y = self.outer(self.inner(x.to(self.inner.weight.dtype)).relu())
        _act(self.run)
        return y


class Crowd(nn.Module):
    """Needs more examples at a time than two."""

    def __init__(self, least=16, how="topk") -> None:
        super().__init__()
        self.least, self.how = least, how
        self.inner = nn.Linear(4, nn.ValueChoice([8, 16], label="width"))
        self.outer = nn.Linear(self.inner.out_features, 3)

    def forward(self, x):
        if self.training and self.how == "topk":
            x.flatten(1).topk(self.least, dim=0)
        if self.training and self.how == "raise" and len(x) < self.least:
            raise ValueError(f"a batch of {len(x)} is too small")
        return self.outer(self.inner(x).relu())


@functools.lru_cache(maxsize=4)
def positions(count: int) -> torch.Tensor:
    return torch.linspace(0, 1, count)


class Cached(nn.Module):
    """Keeps a tensor for all models."""

    def __init__(self, how="buffer") -> None:
        super().__init__()
        if how == "buffer":
            self.register_buffer("at", positions(4))
        else:
            self.at = positions(4)
        self.inner = nn.Linear(4, nn.ValueChoice([8, 16], label="width"))
        self.outer = nn.Linear(self.inner.out_features, 3)

    def forward(self, x):
        return self.outer(self.inner(x + self.at).relu())


@functools.lru_cache(maxsize=4)
def cached_model() -> nn.Module:
    return Cached()
