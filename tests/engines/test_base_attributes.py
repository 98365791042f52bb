"""Attributes of modules that no front end reads: kept as they are, or refused before a search."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import math
import operator
import pathlib
import re
import threading
import types
import uuid
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import distributions

from runner import nn
from runner.engines.base import BaseEngine
from runner.errors import RunnerError
from runner.graph.frontend.literals.object_state import same_state
from runner.trial import Trial


class Color(enum.Enum):
    RED = 1


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass(frozen=True)
class Options:
    rate: float = 0.5
    names: tuple[str, ...] = ("a",)


class Point(NamedTuple):
    x: int
    y: int


class Holder:
    def __init__(self, number: int) -> None:
        self.number, self.square = number, number**2


def double(x):
    return 2 * x


KEPT = {
    "booleans": lambda: np.array([[True, False]]), "integers": lambda: np.array([[0, 1], [0, 0]]),
    "floats": lambda: np.linspace(0, 1, 5, dtype=np.float16), "complex": lambda: np.array([1 + 2j]),
    "empty": lambda: np.zeros((0, 3)), "one number": lambda: np.array(3.5),
    "many integers": lambda: np.arange(6000).reshape(60, 100),
    "many floats": lambda: np.random.RandomState(0).randn(100, 100),
    "many booleans": lambda: np.arange(5000) % 3 == 0,
    "strings": lambda: np.array(["a", "bc"]), "objects": lambda: np.array([1, "a", None], object),
    "dates": lambda: np.array(["2020-01-01", "NaT"], "datetime64[D]"),
    "spans": lambda: np.array([1, 2], "timedelta64[s]"), "big endian": lambda: np.array([1], ">i4"),
    "a view": lambda: np.arange(10)[::2], "columns": lambda: np.asfortranarray(np.ones((2, 3))),
    "nan and inf": lambda: np.array([np.nan, -np.inf]),
    "scalar float": lambda: np.float32(1.5), "scalar int": lambda: np.int64(3),
    "scalar bool": lambda: np.bool_(True), "scalar string": lambda: np.str_("a"),
    "scalar date": lambda: np.datetime64("2020-01-01"), "numpy dtype": lambda: np.dtype("int8"),
    "numpy class": lambda: np.float32, "ufunc": lambda: np.exp,
    "dtype": lambda: torch.float16, "device": lambda: torch.device("cpu"),
    "generator": lambda: torch.Generator().manual_seed(3), "size": lambda: torch.Size([2, 3]),
    "layout": lambda: torch.strided, "memory format": lambda: torch.channels_last,
    "scheme": lambda: torch.per_tensor_affine, "finfo": lambda: torch.finfo(torch.float32),
    "iinfo": lambda: torch.iinfo(torch.int8), "tensor": lambda: torch.arange(100.0),
    "tensors": lambda: {"a": [torch.ones(2), torch.zeros(2, 2)]},
    "normal": lambda: distributions.Normal(0.0, 1.0),
    "categorical": lambda: distributions.Categorical(torch.tensor([0.5, 0.5])),
    "number": lambda: 1 + 2j, "not a number": lambda: math.nan, "bytes": lambda: b"\x00\xff",
    "bytearray": lambda: bytearray(b"ab"), "range": lambda: range(1, 9, 2),
    "slice": lambda: slice(1, None, 2), "frozenset": lambda: frozenset({1, "a"}),
    "set": lambda: {3, 1}, "deque": lambda: collections.deque([1, 2], maxlen=3),
    "ordered": lambda: collections.OrderedDict(b=1, a=2),
    "counter": lambda: collections.Counter("aa"),
    "defaults": lambda: collections.defaultdict(list, {"a": [1]}),
    "chain": lambda: collections.ChainMap({"a": 1}, {"b": 2}),
    "proxy": lambda: types.MappingProxyType({"a": 1}), "array": lambda: array.array("d", [1.0]),
    "namespace": lambda: types.SimpleNamespace(a=1, b=[2]),
    "datetime": lambda: datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
    "date": lambda: datetime.date(2020, 1, 2), "span": lambda: datetime.timedelta(days=1),
    "decimal": lambda: decimal.Decimal("1.10"), "fraction": lambda: fractions.Fraction(1, 3),
    "uuid": lambda: uuid.UUID(int=5), "path": lambda: pathlib.Path("/tmp/x"),
    "pattern": lambda: re.compile("a+", re.IGNORECASE), "enum": lambda: Color.RED,
    "flags": lambda: Level.LOW | Level.HIGH, "dataclass": lambda: Options(0.25),
    "namedtuple": lambda: Point(1, 2), "object": lambda: Holder(3),
    "partial": lambda: functools.partial(torch.clamp, min=0), "function": lambda: double,
    "builtin": lambda: math.sqrt, "class": lambda: Holder, "getter": lambda: operator.itemgetter(1),
}  # fmt: skip
REFUSED = {
    "lambda": lambda: lambda x: x,
    "weak reference": lambda: __import__("weakref").ref(Holder),
    "thread local": threading.local,
    "records": lambda: np.zeros(2, [("a", "i4"), ("b", "f8")]),
    "masked": lambda: np.ma.array([1, 2], mask=[0, 1]),
    "view of bytes": lambda: memoryview(b"ab"),
    "view of a dict": lambda: {"a": 1}.keys(),
    "module": lambda: math,
}


class Unread(nn.Module):
    """Is made by a factory, holds values, and has a forward that no front end reads."""

    def __init__(self, make, values) -> None:
        super().__init__()
        self.values = values
        for number, value in enumerate(values.values()):
            setattr(self, f"value{number}", value)
        self.layer = make(8)

    def forward(self, x):
        try:
            return self.layer(x) * len(self.values)
        finally:
            str(self.value0)


@nn.model_wrapper
class Net(nn.Module):
    def __init__(self, names) -> None:
        super().__init__()
        values = {name: {**KEPT, **REFUSED}[name]() for name in names}
        self.stem = nn.Linear(64, 8)
        self.block = Unread(lambda width: nn.Linear(width, width), values)
        self.act = nn.LayerChoice({"relu": nn.ReLU, "tanh": nn.Tanh}, label="act")
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.act(self.block(self.stem(torch.flatten(x, 1)))))


def engine(*names: str) -> BaseEngine:
    node = {"_target_": f"{__name__}.Net", "names": [*names]}
    return BaseEngine([1, 8, 8], space=node, trust=[__name__])


def test_values_of_every_kind_are_kept():
    made = engine(*KEPT)
    for sample in made.space.enumerate():
        made.key(dict(sample))
        [job] = made.plan([Trial(0, dict(sample), 0)])
        model = made.build(job.recipes[0])
        assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
        for number, (name, make) in enumerate(KEPT.items()):
            assert same_state(make(), getattr(model.block, f"value{number}")), name


@pytest.mark.parametrize("name", REFUSED)
def test_a_value_that_cannot_be_kept_is_refused_before_the_search(name):
    made = engine(name)
    with pytest.raises(RunnerError, match=r"^block \(Unread\): Its attribute 'value") as error:
        made.key(made.space.default())
    assert "\n" not in str(error.value) and "engine=py" in str(error.value)
