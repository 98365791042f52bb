"""Errors of users' code: whatever they are, they become one line that can be shown and stored."""

from itertools import islice

import pytest
import yaml

from runner.errors import (
    LONGEST,
    ConfigError,
    Refused,
    as_yaml,
    causes,
    is_out_of_memory,
    message,
    one_line,
    refusal,
    require,
    shown,
)


class Raises(Exception):
    def __str__(self):
        raise SystemExit(3)

    __repr__ = __str__


class Text(str):
    def split(self, *args):
        raise AssertionError("a method of its own")


class Wraps(Exception):
    def __str__(self):
        return Text("its own kind of text")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\nb\tc"), "ValueError: a b c"),
        (ValueError(), "ValueError"),
        (ValueError("\udcff\x1b[2J\x00"), r"ValueError: \udcff\x1b[2J\x00"),
        (Raises(), "Raises: (its message raises an exception)"),
        (Wraps(), "Wraps: its own kind of text"),
        (ValueError("größer als 3 µm"), "ValueError: größer als 3 µm"),
    ],
)
def test_an_exception_is_one_line(error, line):
    assert one_line(error) == line and line.encode()


def test_a_very_long_message_is_cut():
    text = message(ValueError("x" * 10**6))
    assert text == f"{'x' * LONGEST} ... ({10**6 - LONGEST} more characters)"


def test_a_value_without_a_repr_is_shown_all_the_same():
    assert shown(Raises()) == "a value without a repr"
    assert shown([1, 2]) == "[1, 2]" and len(shown("x" * 1000)) < 150


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_ring_of_causes_has_an_end(length):
    ring = [ValueError(str(i)) for i in range(length)]
    for i, error in enumerate(ring):
        error.__cause__ = ring[(i + 1) % length]
    assert [*islice(causes(ring[0]), 9)] == ring
    assert refusal(ring[0]) is None
    ring[-1].__cause__ = refused = Refused("too wide")
    assert refusal(ring[0]) is refused


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (False, "false"), (1, "1"), (0.5, "0.5"), ("a", "'a'"),
        ("null", "'null'"), ("a\nb", r"'a\nb'"), ([None, [True]], "[null, [true]]"), ([], "[]"),
        ((1, False), "[1, false]"), ({"a": None, True: [1]}, "{'a': null, true: [1]}"),
    ],
)  # fmt: skip
def test_a_value_of_a_config_is_written_as_yaml_has_it(value, text):
    assert as_yaml(value) == text
    plain = [*value] if isinstance(value, tuple) else value
    assert "\\" in text or yaml.safe_load(text) == plain
    with pytest.raises(ConfigError) as error:
        require(False, "a.b", value, "right")
    assert str(error.value) == f"a.b is {text}; it must be right."


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, is_memory):
    assert is_out_of_memory(error) is is_memory
