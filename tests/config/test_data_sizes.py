"""Sizes of a model that follow from the data, and those that do not."""

import inspect
from collections.abc import Sequence

import pytest

from runner import nn
from runner.config.check_arguments import signature
from runner.config.data_sizes import differing_sizes, missing_sizes, sizes_of, unset_sizes

DIGITS = {"_target_": "x", "shape": [1, 8, 8], "classes": 10}
TABLE = {"_target_": "x", "shape": [5], "classes": 2}


def flat(inputs: int = 1, classes: int = 1, width: int = 8) -> None:
    """A model of flat inputs."""


def bounded(shape: nn.InputShape, num_classes: nn.Positive, in_channels: int) -> None:
    """A model of images."""


def other(inputs: Sequence[str], classes: bool = False, channels: int = 3, **rest: int) -> None:
    """Arguments of these names that are about something else."""


@pytest.mark.parametrize(
    ("function", "data", "found"),
    [
        (flat, DIGITS, {"inputs": 64, "classes": 10}),
        (flat, TABLE, {"inputs": 5, "classes": 2}),
        (bounded, DIGITS, {"shape": [1, 8, 8], "num_classes": 10, "in_channels": 1}),
        (bounded, TABLE, {"shape": [5], "num_classes": 2}),
        (other, DIGITS, {}),
        (lambda inputs, classes: None, TABLE, {"inputs": 5, "classes": 2}),
        (flat, {"_target_": "x"}, {}),
        (flat, {"_target_": "x", "shape": "???", "classes": None}, {}),
    ],
)
def test_what_is_named_so_and_not_given(function, data, found):
    parameters = signature(function) or {}
    assert missing_sizes({"_target_": "y"}, data, parameters, "space") == found
    given = {"_target_": "y", **dict.fromkeys(found, 3)}
    assert missing_sizes(given, data, parameters, "space") == {}


def test_an_argument_without_an_annotation_takes_what_its_name_says():
    parameters = dict(inspect.signature(lambda classes: None).parameters)
    parameters = signature(lambda classes: None) or parameters
    assert missing_sizes({}, DIGITS, parameters, "space") == {"classes": 10}


def test_sizes_that_differ_are_named_by_both_keys():
    node = {"classes": 5, "inputs": 7, "shape": [1, 8, 8], "model": {"num_classes": 3}}
    assert [*differing_sizes(node, DIGITS)] == [
        "space.inputs is 7, but data.shape is [1, 8, 8], which is 64 numbers",
        "space.classes is 5, but data.classes is 10",
        "space.model.num_classes is 3, but data.classes is 10",
    ]
    assert not [*differing_sizes({"classes": 10, "inputs": 64}, DIGITS)]
    assert {key for _, key in sizes_of(DIGITS).values()} == {"data.shape", "data.classes"}


class Sized:
    def __init__(self, inputs: int = 1, classes: int = 1, width: int = 8):
        pass


class Unsure(Sized):
    def __init__(self, **kw):
        super().__init__(kw.pop("inputs", 3), **kw)


def test_sizes_that_nobody_can_tell_to_be_passed_on_are_named_by_their_keys():
    node = {"_target_": f"{__name__}.Unsure", "classes": 3}
    told = "space.inputs is not set, but data.shape is [1, 8, 8], which is 64 numbers"
    assert [*unset_sizes(node, DIGITS, [__name__])] == [told]
    outer = {"_target_": "x", "model": node}
    inner = told.replace("space", "space.model")
    assert [*unset_sizes(outer, DIGITS, [__name__])] == [inner]
    assert not [*unset_sizes(node, DIGITS, [])], "of no trusted class, nothing is imported"
    assert not [*unset_sizes({**node, "inputs": 3}, DIGITS, [__name__])]
