"""Expressions: the same arithmetic as on the values themselves."""

import copy
import math
import operator
from collections import namedtuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import nn
from runner.nn.values.expression import is_symbolic, replace_symbolic
from runner.space.sample import lookup

CANDIDATES = {"a": [3, 5, -2], "b": [1, 2, 7], "r": [0.5, 0.25, 1.5]}
BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "lt", "le", "eq", "ne", "gt", "ge"]
WHOLE = ["lshift", "rshift", "and_", "or_", "xor"]
UNARY = [operator.neg, operator.pos, abs, round, math.floor, math.ceil, math.trunc]


def variables():
    with nn.symbolic():
        return {name: nn.ValueChoice(values, label=name) for name, values in CANDIDATES.items()}


def calculated(tree, values):
    """A random tree of operations, done on values."""
    match tree:
        case str(name):
            return values[name]
        case (function, *arguments) if callable(function):
            return function(*(calculated(argument, values) for argument in arguments))
    return tree


def _branches(inner):
    operators = [getattr(operator, name) for name in (*BINARY, *WHOLE)]
    return st.one_of(
        st.tuples(st.sampled_from(operators), inner, inner),
        st.tuples(st.sampled_from(UNARY), inner),
        st.tuples(st.sampled_from([nn.ValueChoice.max, nn.ValueChoice.min]), inner, inner),
        st.tuples(st.just(nn.ValueChoice.condition), inner, inner, inner),
        st.tuples(st.sampled_from([nn.ValueChoice.to_int, nn.ValueChoice.to_float]), inner),
        st.tuples(st.just(operator.pow), inner, st.integers(0, 2)),
    )


TREE = st.recursive(
    st.sampled_from([*CANDIDATES]) | st.integers(-9, 9) | st.sampled_from([0.5, 2.0]),
    _branches,
    max_leaves=10,
)


def plain_type(value):
    """Its class; of a value that can be called, that which it is a likeness of."""
    return type(value).__mro__[1] if nn.values.value.is_decided(value) else type(value)


def result(calculate):
    """What comes out, or the kind of error."""
    try:
        return calculate()
    except (ArithmeticError, ValueError, TypeError) as error:
        return type(error)


@settings(deadline=None, max_examples=500)
@given(tree=TREE, picks=st.tuples(*[st.integers(0, 2)] * 3))
def test_resolving_is_doing_the_arithmetic(tree, picks):
    values = {n: CANDIDATES[n][i] for n, i in zip(CANDIDATES, picks, strict=True)}
    expected = result(lambda: calculated(tree, values))
    expression = result(lambda: calculated(tree, variables()))
    if isinstance(expression, type):  # constants alone go wrong already while it is written
        assert isinstance(expected, type)  # or another error, if another part goes wrong first
        return
    resolved = result(lambda: replace_symbolic(expression, lambda e: e.resolve(lookup(values))))
    assert plain_type(resolved) is plain_type(expected)
    assert resolved == expected or resolved != resolved
    if is_symbolic(expression):
        names = {"floor": math.floor, "ceil": math.ceil, "trunc": math.trunc,
                 "condition": nn.values.value.condition, **values}  # fmt: skip
        read = result(lambda: eval(repr(expression), names))
        assert resolved != resolved or read == resolved, "its text is Python"
        assert (
            expression.default == expression.resolve(lambda choice: choice.default)
            if (not isinstance(result(lambda: expression.default), type))
            else True
        )
        assert calculated(tree, variables()).same_as(expression)
        assert {choice.label for choice in expression.choices} <= set(CANDIDATES)


@pytest.mark.parametrize(
    ("expression", "text", "value"),
    [
        (lambda a, b: round(a * b), "round(a * b)", 3),
        (lambda a, b: round(a / b, 1), "round(a / b, 1)", 3.0),
        (lambda a, b: (a + b) * 2 - -a, "(a + b) * 2 - -a", 11),
        (lambda a, b: 2 - (a - b), "2 - (a - b)", 0),
        (lambda a, b: a**b**2, "a ** b ** 2", 3),
        (lambda a, b: (a**b) ** -b, "(a ** b) ** -b", 1 / 3),
        (lambda a, b: (-a) ** 2, "(-a) ** 2", 9),
        (lambda a, b: ((a > b) == (b > a), (-2) ** a)[1], "(-2) ** a", -8),
        (lambda a, b: (a > b) == (b > a), "(a > b) == (b > a)", False),
        (lambda a, b: ~a & b | 3 ^ a, "~a & b | 3 ^ a", 0),
        (lambda a, b: 1 << a >> b, "1 << a >> b", 4),
        (lambda a, b: (a > 1) & (b == 1), "(a > 1) & (b == 1)", True),
        (lambda a, b: divmod(a, 2)[1] + divmod(7, a)[0], None, 3),
        (lambda a, b: math.ceil(a / 2) + math.trunc(b), "ceil(a / 2) + trunc(b)", 3),
        (lambda a, b: "x" + "y" * a, "'x' + 'y' * a", "xyyy"),
        (lambda a, b: nn.ValueChoice.max(a, b, 2), "max(a, b, 2)", 3),
        (lambda a, b: nn.ValueChoice.min([a, b]), "min([a, b])", 1),
        (lambda a, b: nn.ValueChoice.condition(a > b, (a, 1), (b, 2)),
         "condition(a > b, (a, 1), (b, 2))", (3, 1)),
        (lambda a, b: nn.ValueChoice.to_int(a / 2), "int(a / 2)", 1),
    ],
)  # fmt: skip
def test_texts_and_defaults(expression, text, value):
    values = variables()
    made = expression(values["a"], values["b"])
    assert made.default == value
    assert text is None or repr(made) == text


def test_items():
    with nn.symbolic():
        pair = nn.ValueChoice([(1, 2), (3, 4)], label="pair")
        table = nn.ValueChoice([{"k": [5, 6]}, {"k": [7, 8]}], label="table")
        at = nn.ValueChoice([0, 1], label="at")
        size = nn.ValueChoice([1, 2], label="size")
    item = table["k"][at]
    assert repr(item) == "table['k'][at]"
    assert [c.label for c in (item + pair[0]).choices] == ["table", "at", "pair"]
    assert item.resolve(lookup({"table": {"k": [7, 8]}, "at": 1})) == 8
    assert pair[0:size].resolve(lookup({"pair": [3, 4], "size": 2})) == (3, 4)
    assert pair[0:size].default == (1,)


def test_each_choice_is_asked_once():
    values = variables()
    asked = []

    def ask(choice):
        asked.append(choice.label)
        return choice.default

    expression = values["a"] * values["b"] + values["a"]
    assert expression.resolve(ask) == 6
    assert asked == ["a", "b"]


def test_shared_parts_are_computed_once():
    width = variables()["a"]
    for _ in range(160):  # a tree of 2 ** 160 leaves
        width = (width + width) // 2
    value = width.default
    assert value == 3
    assert [choice.label for choice in width.choices] == ["a"]


def test_same_as_compares_what_equality_cannot():
    one, other = variables(), variables()
    assert (one["a"] + 1).same_as(other["a"] + 1)
    assert not (one["a"] + 1).same_as(other["a"] + 1.0)
    assert not (one["a"] + 1).same_as(other["b"] + 1)
    assert not (one["a"] + 1).same_as(1 + other["a"])
    assert not one["a"].same_as("a")


def test_copies_are_the_same_object():
    a = variables()["a"]
    assert copy.copy(a) is a
    assert copy.deepcopy([a + 1])[0].same_as(a + 1)


def test_labels_are_written_so_that_they_can_be_told_apart():
    with nn.symbolic():
        path = nn.ValueChoice([1], label="stage1/width")
        strange = nn.ValueChoice([1], label="x + y")
    assert repr(path * 2 + strange) == "stage1/width * 2 + 'x + y'"


def test_open_values_are_found_in_containers():
    a = variables()["a"]
    pair = namedtuple("pair", "x y")
    value = {"t": (1, [a]), "p": pair(a, 2), "s": slice(0, a), "plain": (1, 2)}
    plain = replace_symbolic(value, lambda expression: expression.default)
    assert plain == {"t": (1, [3]), "p": pair(3, 2), "s": slice(0, 3), "plain": (1, 2)}
    assert is_symbolic(value)
    assert not is_symbolic(plain)
    assert plain["plain"] is value["plain"]


def test_plain_arguments_give_plain_results():
    assert nn.ValueChoice.max(1, 2) == 2
    assert nn.ValueChoice.max([1, 2]) == 2
    assert nn.ValueChoice.condition(True, "x", "y") == "x"
