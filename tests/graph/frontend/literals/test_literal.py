import enum
import functools
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.frontend.literals.literal import SMALL, Literals, reference
from runner.graph.ir.unit import Call, Ref, Stored


class Colour(enum.StrEnum):
    RED = "red"


class Pair(NamedTuple):
    a: int
    b: int


@dataclass
class Config:
    width: int
    deep: bool = False


class Matcher:
    def __init__(self, threshold: float) -> None:
        self.high = threshold
        self.low = threshold


class Opaque:
    def __init__(self, secret: int) -> None:
        self.hash = secret * 2
        self.tell = lambda: secret


def refuse(module: nn.Module) -> Any:
    raise GraphError("no unit")


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    return {}


@pytest.fixture
def literals(tensors: dict[str, torch.Tensor]) -> Literals:
    return Literals(refuse, tensors)


@pytest.mark.parametrize("value", [None, True, 3, 2.5, 1j, "x", ..., (1, [2, "a"]), [], ()])
def test_plain_data_is_itself(literals, value):
    assert literals.of(value) == value


def test_a_number_of_a_subclass_becomes_plain(literals):
    from runner.nn.values.value import decided

    made = literals.of(decided(3))
    assert type(made) is int and made == 3


@pytest.mark.parametrize(
    ("value", "target"),
    [
        (torch.float16, "torch:float16"),
        (torch.channels_last, "torch:channels_last"),
        (nn.Conv2d, "torch.nn:Conv2d"),
        (nn.functional.relu, "torch.nn.functional:relu"),
        (torch.cat, "torch:cat"),
        (len, "builtins:len"),
        (Colour.RED, f"{__name__}:Colour.RED"),
    ],
)
def test_what_can_be_imported_is_a_reference(literals, value, target):
    assert literals.of(value) == Ref(target)


def test_objects_become_calls_of_their_constructors(literals):
    pair, config, matcher = map(literals.of, (Pair(1, 2), Config(8), Matcher(0.5)))
    assert (pair.target, pair.args) == (f"{__name__}:Pair", (1, 2))
    assert (config.target, config.kwargs) == (f"{__name__}:Config", {"width": 8, "deep": False})
    assert (matcher.target, matcher.kwargs) == (f"{__name__}:Matcher", {"threshold": 0.5})


def test_partials_and_ordered_dicts_become_calls(literals):
    made = literals.of(functools.partial(nn.LayerNorm, eps=1e-6))
    assert made.target == "functools:partial"
    assert (made.args, made.kwargs) == ((Ref("torch.nn:LayerNorm"),), {"eps": 1e-6})
    ordered = literals.of(OrderedDict(a=1))
    assert (ordered.target, ordered.args) == ("collections:OrderedDict", ([("a", 1)],))


def test_small_tensors_are_written_out_and_large_ones_stored(literals, tensors):
    small = literals.of(torch.tensor([1, 2]))
    assert isinstance(small, Call) and small.args == ([1, 2],)
    assert small.kwargs == {"dtype": Ref("torch:int64")}
    large = torch.arange(SMALL + 1)
    stored = literals.of(large)
    assert isinstance(stored, Stored) and tensors[stored.name].equal(large)


def test_what_has_no_literal_is_an_error_that_names_its_class(literals):
    with pytest.raises(GraphError, match="Opaque has no literal"):
        literals.of(Opaque(3))
    with pytest.raises(GraphError, match="Define it at the top level of a file"):
        reference(lambda x: x)
