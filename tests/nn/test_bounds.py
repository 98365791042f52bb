"""Bounds of the arguments of spaces, as the check of a config reads them."""

from typing import Any

import pytest

from runner import nn
from runner.config.check_arguments import check_type
from runner.errors import ConfigError

BOUNDS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "Positive": (nn.Positive, [1, 2**31 - 1], [0, -1, 1.0, True, 2**31, "x", None]),
    "Repeats": (nn.Repeats, [1, 1000], [0, 1001, True]),
    "AnyRepeats": (nn.AnyRepeats, [0, 1000], [-1, 1001, False]),
    "Fraction": (nn.Fraction, [0, 0.0, 0.99], [1, -0.1, float("nan"), float("inf"), True]),
    "OddSize": (nn.OddSize, [1, 3, 99], [0, 2, -3, 101, True, 3.0]),
    "InputShape": (nn.InputShape, [[1], [3, 8, 8]], [[], [0], [1, -1], 3, [True]]),
    "ImageShape": (nn.ImageShape, [[1, 8, 8]], [[], [8, 8], [1, 8, 8, 8], [1, 8, 0], [1, 8, True]]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_what_is_within_bounds_is_taken_and_what_is_not_is_named(name: str) -> None:
    kind, good, bad = BOUNDS[name]
    for value in good:
        check_type(value, kind, "space.it")
    for value in bad:
        with pytest.raises(ConfigError, match=r"^space\.it(\[\d\])? is "):
            check_type(value, kind, "space.it")
