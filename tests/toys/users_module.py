"""A user's module with state of each kind, and what a trial may do to it."""

import functools
from dataclasses import dataclass

import numpy
import torch

RATE, NAME, LIMIT = 0.1, "sgd", None
OPTIONS = {"rate": 0.1, "inner": {"width": 8}, "sizes": [1, 2]}
SIZES = [8, 16]
NAMES = {"a", "b"}
WEIGHTS = torch.arange(4.0)
TABLE = numpy.arange(4.0)
CACHE = {}
MODEL = None


@dataclass
class Config:
    """Settings as an object."""

    width: int = 8


CONFIG = Config()


class Scale:
    """A class with a table."""

    factors = [1.0]  # noqa: RUF012 - a kind of state

    def of(self, x):
        return x * self.factors[0]


def mean(values, weights=(1.0,), seen=[]):  # noqa: B006 - a kind of state
    return sum(values) * weights[0] + len(seen)


def noticed():
    """What a trial notices of all this."""
    fill_caches()
    return (RATE, NAME, LIMIT, repr(OPTIONS), SIZES, sorted(NAMES), WEIGHTS.tolist(),
            TABLE.tolist(), CONFIG.width, Scale().of(2.0), sorted(vars(Scale)), mean([1.0]),
            getattr(mean, "calls", 0), globals().get("ADDED"))  # fmt: skip


@functools.lru_cache
def squares(n):
    return [i * i for i in range(n)]


def fill_caches():
    """What each trial may do: it fills what was empty."""
    global MODEL
    MODEL = MODEL or Config(3)
    CACHE.setdefault("points", torch.ones(3))
    squares(9)


def _set(name, value):
    globals()[name] = value


CHANGED = {  # what is put back
    "a number of a user": lambda: _set("RATE", 0.5),
    "a text of a user": lambda: _set("NAME", "adam"),
    "None of a user": lambda: _set("LIMIT", 3),
    "a deleted name of a user": lambda: globals().pop("NAME"),
    "an added name of a user": lambda: _set("ADDED", 1),
    "a function of a user": lambda: _set("mean", lambda values: 0.0),
    "a class of a user": lambda: _set("Scale", Config),
    "an object of a user": lambda: _set("CONFIG", Config(4)),
    "an attribute of a user": lambda: setattr(CONFIG, "width", 4),
    "a method of a user": lambda: setattr(Scale, "of", lambda self, x: 0.0),
    "an added method of a user": lambda: setattr(Scale, "__call__", lambda self: 0.0),
    "an added number of a user's class": lambda: setattr(Scale, "extra", 1),
    "an option of a user": lambda: OPTIONS.update(rate=0.5),
    "an added option of a user": lambda: OPTIONS.update(momentum=0.5),
    "no options of a user": lambda: OPTIONS.clear(),
    "an inner option of a user": lambda: OPTIONS["inner"].update(width=9),
    "an inner list of a user": lambda: OPTIONS["sizes"].reverse(),
    "other options of a user": lambda: _set("OPTIONS", {}),
    "a list of a user": lambda: SIZES.append(32),
    "a set of a user": lambda: NAMES.discard("a"),
    "a list of a user's class": lambda: Scale.factors.__setitem__(0, 2.0),
    "a default of a user": lambda: mean.__defaults__[1].append(1),
    "defaults of a user": lambda: setattr(mean, "__defaults__", ((2.0,), [])),
    "an attribute of a user's function": lambda: setattr(mean, "calls", 1),
    "another tensor of a user": lambda: _set("WEIGHTS", torch.zeros(4)),
}  # fmt: skip
EDITED = {  # what a worker is replaced for
    "a tensor of a user": lambda: WEIGHTS.mul_(2),
    "memory of a user's tensor": lambda: WEIGHTS.data.numpy().fill(1.0),
    "an array of a user": lambda: TABLE.sort() or TABLE.__setitem__(0, 9.0),
}
