"""Arguments in a config: checked by name and type before anything is built."""

from collections.abc import Sequence

import pytest

from runner.config.check_arguments import check_arguments
from runner.errors import ConfigError


def walked(
    width: int, rate: float = 0.1, names: Sequence[str] = (), deep: bool = False, *,
    size: tuple[int, int] = (1, 1), kind: int | None = None,
) -> dict[str, object]:  # fmt: skip
    """A target to check and build."""
    return {"width": width, "rate": rate, "names": names, "deep": deep, "size": size, "kind": kind}


class Holder:
    """A target that holds others."""

    def __init__(self, inner: object, more: object = None, runtime: int = 0) -> None:
        self.inner = inner
        self.more = more
        self.runtime = runtime


@pytest.fixture
def here(monkeypatch):
    """Has `locate` find this file, which pytest imports by path, as the module `here`."""
    import sys

    monkeypatch.setitem(sys.modules, "here", sys.modules[__name__])
    monkeypatch.setattr(walked, "__module__", "here")
    monkeypatch.setattr(Holder, "__module__", "here")
    return ["here"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"widht": 1}, r"space\.widht: walked has no argument 'widht'. Did you mean 'width'"),
        ({"width": "3"}, r"space\.width is '3': Input should be a valid integer"),
        ({"width": 3.5}, r"space\.width is 3.5"),
        ({"width": True}, r"space\.width is True"),
        ({"width": None}, r"space\.width is None"),
        ({"width": [3]}, r"space\.width is \[3\]"),
        ({"width": 1, "rate": "fast"}, r"space\.rate is 'fast': Input should be a valid number"),
        ({"width": 1, "names": "abc"}, r"space\.names is 'abc'"),
        ({"width": 1, "names": ["a", 2]}, r"space\.names\[1\] is 2: .* valid string"),
        ({"width": 1, "deep": 1}, r"space\.deep is 1: .* valid boolean"),
        ({"width": 1, "size": [1]}, r"space\.size"),
        ({"width": 1, "kind": "none"}, r"space\.kind is 'none'"),
        ({}, r"space\.width is missing; walked needs it"),
        ({"_partial_": "yes"}, r"space\._partial_ is 'yes'; it must be true or false"),
    ],
)
def test_arguments_are_checked_by_name_and_type(given, text, here):
    with pytest.raises(ConfigError, match=text) as error:
        check_arguments({"_target_": "here.walked", **given}, here, "space")
    assert "\n" not in str(error.value)


def test_good_arguments_pass_and_whole_numbers_are_numbers(here):
    node = {"_target_": "here.walked", "width": 3, "rate": 1, "names": ["a"], "size": [1, 2]}
    check_arguments({"a": [node]}, here)
    check_arguments({"_target_": "here.walked", "_partial_": True}, here, "space")
    check_arguments({"_target_": "here.walked"}, here, "space", runtime=["width"])
    inner = {"_target_": "here.Holder", "inner": {"_target_": "here.walked", "width": 1}}
    check_arguments(inner, here, "space")


def test_arguments_of_nested_nodes_are_checked_at_their_place(here):
    node = {"_target_": "here.Holder", "inner": [{"_target_": "here.walked", "width": "x"}]}
    with pytest.raises(ConfigError, match=r"^space\.inner\[0\]\.width is 'x'"):
        check_arguments(node, here, "space")
