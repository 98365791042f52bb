"""What a node makes is held against what its place expects."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, TypeVar

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.utils.data import Dataset, TensorDataset

from runner.config.check_arguments import check_arguments
from runner.config.kinds import check_kind, element
from runner.data.augment import Augment
from runner.data.digits import Digits
from runner.errors import ConfigError
from runner.evaluators.schedule import Cosine
from runner.tasks.describe import Describe
from runner.tasks.task import Task

T = TypeVar("T")


def annotated() -> nn.Module: ...
def unknown(): ...
def text() -> str: ...


def perhaps() -> float | None: ...
def whole() -> int: ...


Schedules = Callable[[int, int], float]
Augmentations = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
FITS = [
    (nn.ReLU, False, nn.Module), (nn.ReLU, False, nn.Module | None), (nn.ReLU, False, Any),
    (nn.ReLU, False, Optional[nn.Module]), (nn.ReLU, False, Annotated[nn.Module, "x"]),  # noqa: UP045
    (nn.ReLU, False, T), (nn.ReLU, True, Any), (nn.ReLU, False, int | nn.Module),
    (SGD, True, Callable[..., Optimizer]), (TensorDataset, False, Dataset[Any]),
    (Cosine, False, Schedules), (Augment, False, Augmentations | None), (nn.ReLU, False, Callable),
    (annotated, False, nn.Module), (unknown, False, nn.Module), (unknown, True, Callable[..., int]),
    (annotated, True, Callable[..., nn.Module]), (perhaps, True, Callable[..., float]),
    (whole, True, Callable[..., float]), (perhaps, True, Callable[..., float | None]),
]  # fmt: skip
DOES_NOT_FIT = [
    (nn.ReLU, True, nn.Module, "makes a partial of ReLU; x must be a Module. Drop x._partial_."),
    (SGD, False, Callable[..., Optimizer], r"an Optimizer \(_partial_: true\). Did you forget"),
    (nn.ReLU, True, Callable[..., Optimizer], "x must be a partial that makes an Optimizer"),
    (Digits, False, nn.Module, "makes a Digits; x must be a Module."),
    (nn.ReLU, False, int, "x must be an int"), (nn.ReLU, False, str | None, "x must be a str"),
    (nn.ReLU, False, Literal["a"], "x must be"), (nn.ReLU, False, None, "x must be"),
    (nn.ReLU, False, Schedules, "x must be a function or callable object"),
    (nn.ReLU, False, Augmentations, "x must be a function or callable object"),
    (Cosine, False, Callable[[], float], "x must be a function"),
    (Digits, False, Any, "a value or a part of a model"),  # a part of a config has its own place
    (Describe, False, object, "a value or a part of a model"),
    (nn.ReLU, False, list[nn.Module], "x must be a list"),
    (text, False, nn.Module, "makes a str; x must be a Module"),
    (nn.ReLU, False, type[nn.Module], "x must be a type"),
    (Cosine, True, Schedules, "makes a partial of Cosine; x must be a function or callable object. "
                              "Drop x._partial_."),
    (Digits, True, Schedules, "Such a Digits cannot be called: it has no method __call__."),
    (Digits, False, Schedules, "Such a Digits cannot be called: it has no method __call__."),
]  # fmt: skip


@pytest.mark.parametrize(("target", "partial", "expected"), FITS)
def test_what_fits_passes(target, partial, expected):
    check_kind(target, partial, expected, "x")


@pytest.mark.parametrize(("target", "partial", "expected", "text"), DOES_NOT_FIT)
def test_what_does_not_fit_is_named_with_what_would(target, partial, expected, text):
    with pytest.raises(ConfigError, match=text) as error:
        check_kind(target, partial, expected, "x")
    assert str(error.value).startswith(f"x._target_ is {target.__module__}.{target.__name__}")
    assert "\n" not in str(error.value)


def test_an_abstract_class_is_no_implementation():
    with pytest.raises(ConfigError, match=r"runner\.tasks\.task\.Task, which is abstract: name"):
        check_kind(Task, False, Task, "task")


@pytest.mark.parametrize(
    ("expected", "key", "found"),
    [
        (list[int], 0, int), (Sequence[nn.Module], 3, nn.Module), (tuple[int, str], 1, str),
        (tuple[int, ...], 5, int), (Mapping[str, int], "a", int), (dict[str, int] | None, "a", int),
        (list[int] | dict[str, str], "a", str), (list[int] | dict[str, str], 0, int),
        (Any, 0, Any), (int, 0, Any), (tuple[int], 2, Any), (list, 0, Any), (Callable, 0, Any),
    ],
)  # fmt: skip
def test_an_element_has_the_annotation_of_its_place(expected, key, found):
    assert element(expected, key) == found


def schedule(step, total): ...


@pytest.mark.parametrize("target", ["schedule", "preset", "schedule_of_three"])
def test_a_function_where_one_is_expected_needs_partial(target, monkeypatch):
    monkeypatch.setattr(f"{__name__}.preset", functools.partial(schedule), raising=False)
    monkeypatch.setattr(f"{__name__}.schedule_of_three", lambda a, b, c: 0.0, raising=False)
    node = {"_target_": f"{__name__}.{target}"}
    with pytest.raises(ConfigError, match=r" needs it\. Did you forget x\._partial_=true\?$"):
        check_arguments(node, [__name__], "x", expected=Schedules)
    check_arguments({**node, "_partial_": True}, [__name__], "x", expected=Schedules)
    with pytest.raises(ConfigError, match=r"x\.one is missing; Taking needs it\.$"):
        check_arguments({"_target_": f"{__name__}.Taking"}, [__name__], "x")


@pytest.mark.parametrize(
    ("made", "partial", "text"),
    [
        (functools.partial(SGD, lr=1), True, None),
        (functools.partial(SGD, lr=1), False, r"a partial of torch\.optim\.sgd\.SGD, which makes a "
         r"SGD; .*Did you forget x\._partial_=true"),
        (functools.partial(nn.ReLU), True, "makes a partial of ReLU; x must be a partial that"),
    ],
)  # fmt: skip
def test_a_partial_of_a_class_makes_what_the_class_makes(made, partial, text):
    if text is None:
        check_kind(made, partial, Callable[..., Optimizer], "x")
        return
    with pytest.raises(ConfigError, match=text):
        check_kind(made, partial, Callable[..., Optimizer], "x")


class Taking:
    """A target whose arguments are nodes at several depths."""

    def __init__(self, one: nn.Module, many: Sequence[nn.Module] = (), named: Any = None) -> None:
        raise AssertionError("it is only checked")


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"one": {"_target_": "torch.optim.SGD"}}, r"x\.one\._target_ is torch\.optim\.sgd\.SGD"),
        ({"one": {"_target_": "torch.nn.ReLU"}, "many": [{"_target_": "torch.nn.ReLU"},
          {"_target_": "torch.optim.SGD"}]}, r"x\.many\[1\]\._target_ is torch\.optim"),
        ({"one": {"_target_": "torch.nn.ReLU"}, "named": {"a": [{"_target_":
          "runner.data.digits.Digits"}]}}, r"x\.named\.a\[0\]\._target_ is runner\.data\.digits"),
        ({"one": {"_target_": "torch.nn.Sequential", "inner": {"_target_":
          "torch.nn.Module.eval"}}}, r"x\.one\.inner\._target_ 'torch.nn.Module.eval' is a meth"),
    ],
)  # fmt: skip
def test_nodes_at_any_depth_are_held_against_their_place(arguments, where):
    node = {"_target_": f"{__name__}.Taking", **arguments}
    with pytest.raises(ConfigError, match=where):
        check_arguments(node, [__name__], "x")
