"""Calls of `format` are written as f-strings where these mean the same."""

import pytest

from runner.graph.codegen.expressions.format_strings import f_string
from runner.graph.codegen.expressions.line_breaking import Code
from runner.python_operators import Precedence

VALUES = {"x": 3.14159, "name": "a", "items": [1, 2]}


@pytest.mark.parametrize(
    ("template", "fields", "expected"),
    [
        ("a {} b", ["x"], 'f"a {x} b"'),
        ("{}{{}}'\n{:.2f}", ["name", "x"], 'f"{name}{{}}\'\\n{x:.2f}"'),
        ("{0} {1!r:>8}", ["len(items)", "name"], 'f"{len(items)} {name!r:>8}"'),
        ("{} {}", ["items[1:]", "1 if x else 2"], 'f"{items[1:]} {1 if x else 2}"'),
    ],
)
def test_an_f_string_gives_what_the_call_gives(template, fields, expected):
    written = f_string(template, [Code(field) for field in fields])
    assert written is not None
    assert written.text == expected
    given = [eval(field, VALUES) for field in fields]
    assert eval(written.text, VALUES) == template.format(*given)


def test_a_tuple_is_in_parentheses():
    written = f_string("{}", [Code("1, 2", Precedence.TUPLE)])
    assert written is not None
    assert written.text == 'f"{(1, 2)}"'


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("none", []),
        ("{0} {0}", ["x"]),
        ("{1} {0}", ["x", "y"]),
        ("{} {}", ["x"]),
        ("{0.real}", ["x"]),
        ("{a}", ["x"]),
        ("{:{}}", ["x", "y"]),
        ("{", ["x"]),
        ('"{}"', ["x"]),
        ("{}", ['x["a"]']),
        ("{}", ["{1: 2}"]),
        ("{}", ["x != 1"]),
        ("{}" + "a" * 90, ["x"]),
    ],
)
def test_other_calls_stay(template, fields):
    assert f_string(template, [Code(field) for field in fields]) is None
