"""Data sets of examples, models and optimizers that a search should refuse before its first trial,
and some that it should not."""

from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from runner import nn


class Pairs(Dataset):
    """Random inputs of a shape, with targets of a kind."""

    def __init__(self, size=20, kind="class", shape=(4,), classes=3, raises="") -> None:
        self.size, self.kind, self.shape = size, kind, tuple(shape)
        self.classes, self.raises = classes, raises

    def __len__(self) -> int:
        if self.raises == "len":
            raise OSError("no such archive")
        return self.size

    def __getitem__(self, i):
        if self.raises == "item" or (self.raises == "second" and i == 1):
            raise KeyError("photo.jpg")
        return torch.full(self.shape, float(i)), self.target(i)

    def target(self, i):
        return {
            "class": i % self.classes,
            "tensor": torch.tensor(i % self.classes),
            "float": float(i),
            "floats": torch.full((self.classes,), float(i)),
            "text": "cat",
            "none": None,
            "mask": torch.full((4,), i % self.classes),
            "large": i + 100,
        }[self.kind]


class Stream(IterableDataset):
    def __iter__(self):
        yield torch.zeros(4), 0


class Singles(Dataset):
    def __len__(self) -> int:
        return 9

    def __getitem__(self, i):
        return torch.zeros(4)


class Texts(Pairs):
    def __getitem__(self, i):
        return "a sentence", 0


class Ragged(Pairs):
    def __getitem__(self, i):
        return torch.zeros(4 + i), 0


class Words(Pairs):
    """Indices of words, for an embedding."""

    def __getitem__(self, i):
        return torch.full(self.shape, i), i % self.classes


class Bytes(Words):
    """Images as bytes, which no layer takes."""

    def __getitem__(self, i):
        inputs, target = super().__getitem__(i)
        return inputs.to(torch.uint8), target


class Linear(nn.Module):
    """`fault` is where it goes wrong."""

    def __init__(self, shape=(4,), classes=3, fault="") -> None:
        super().__init__()
        self.width = nn.ValueChoice([8, 16], label="width")
        self.inner = nn.Linear(shape[0], self.width)
        self.outer = nn.Linear(self.width, classes)
        self.fault = fault

    def forward(self, x):
        if self.fault == "raises":
            raise ValueError("not today")
        if self.fault == "default" and self.width == 8:
            raise ValueError("8 is too few")
        if self.fault == "training" and self.training:
            raise ValueError("not in training")
        if self.fault == "scoring" and not self.training:
            raise ValueError("not in eval")
        if self.fault == "values" and x.abs().sum() < 0:
            raise ValueError("cannot be")
        y = self.outer(self.inner(x.flatten(1)).relu())
        if self.fault == "frozen":
            y = y.detach()
        if self.fault == "tuple":
            return y, y
        return y[:, None] if self.fault == "rank" else y


class Flat(nn.Module):
    """Takes its sizes from the data, whatever its defaults are."""

    def __init__(self, inputs: int = 3, classes: int = 2) -> None:
        super().__init__()
        width = nn.ValueChoice([8, 16], label="width")
        self.inner = nn.Linear(inputs, width)
        self.outer = nn.Linear(width, classes)

    def forward(self, x):
        return self.outer(self.inner(x.flatten(1)).relu())


class Forwarding(Flat):
    """Passes all on to a base class that takes its sizes from the data."""

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale


class Choosing(Flat):
    """Passes on what nobody can tell without running it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{name: kwargs[name] for name in sorted(kwargs)})


class Embedding(nn.Module):
    """Takes indices only."""

    def __init__(self, classes=3) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, nn.ValueChoice([4, 8], label="width"))
        self.head = nn.Linear(self.embed.embedding_dim, classes)

    def forward(self, x):
        return self.head(self.embed(x).mean(1))


class Weightless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        nn.ValueChoice([1, 2], label="width")

    def forward(self, x):
        return x[:, :3]


class Picky(torch.optim.SGD):
    """Raises when it is made, or in its first step."""

    def __init__(self, params, lr, when) -> None:
        super().__init__(params, lr=lr)
        self.when = when
        if when == "made":
            raise RuntimeError("no optimizer today")

    def step(self, closure=None):
        if self.when == "step":
            raise RuntimeError("no step today")
        return super().step(closure)


def constant(step, total):
    return 1.0


def shrinking(step, total):
    return 1.0 - step


def one_argument(step):
    return 1.0


def nothing():
    return 3
