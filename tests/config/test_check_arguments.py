"""Arguments in a config: checked by name and type before anything is built."""

from collections.abc import Mapping

import pytest

from runner.config.check_arguments import check_arguments, check_type
from runner.errors import ConfigError

TRUST = ["targets"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"widht": 1}, r"space\.widht: walked has no argument 'widht'. Did you mean 'width'"),
        ({"width": "3"}, r"space\.width is '3': Input should be a valid integer"),
        ({"width": 3.5}, r"space\.width is 3.5"),
        ({"width": True}, r"space\.width is true"),
        ({"width": None}, r"space\.width is null"),
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
def test_arguments_are_checked_by_name_and_type(given, text):
    with pytest.raises(ConfigError, match=text) as error:
        check_arguments({"_target_": "targets.walked", **given}, TRUST, "space")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (Mapping[str, float], {"CPU": 1, "GPU": "x"}, "it.GPU is 'x': "),
        (Mapping[str, float] | None, {"CPU": {"a": 1}}, "it.CPU is {'a': 1}: "),
        (Mapping[str, list[int]], {"a": [1, "b"]}, "it.a[1] is 'b': "),
        (Mapping[str, int] | int, {"a": True}, "it.a is true: "),
        (Mapping[int, int], {1: 1, 2: None}, "it.2 is null: "),
        (int | list[int], "x", "it is 'x': "),
        (Mapping[str, Mapping[str, int]], {"a": {"b": 1.5}}, "it.a.b is 1.5: "),
    ],
)
def test_what_is_wrong_within_a_value_is_named_with_its_place(hint, value, text):
    with pytest.raises(ConfigError) as error:
        check_type(value, hint, "it")
    assert str(error.value).startswith(text)


def test_good_arguments_pass_and_whole_numbers_are_numbers():
    node = {"_target_": "targets.walked", "width": 3, "rate": 1, "names": ["a"], "size": [1, 2]}
    check_arguments({"a": [node]}, TRUST)
    check_arguments({"_target_": "targets.walked", "_partial_": True}, TRUST, "space")
    check_arguments({"_target_": "targets.walked"}, TRUST, "space", runtime=["width"])
    inner = {"_target_": "targets.Holder", "inner": {"_target_": "targets.walked", "width": 1}}
    check_arguments(inner, TRUST, "space")


def test_arguments_of_nested_nodes_are_checked_at_their_place():
    node = {"_target_": "targets.Holder", "inner": [{"_target_": "targets.walked", "width": "x"}]}
    with pytest.raises(ConfigError, match=r"^space\.inner\[0\]\.width is 'x'"):
        check_arguments(node, TRUST, "space")
