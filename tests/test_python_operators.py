"""The table of Python's operators says what Python does."""

import ast
import inspect
import operator

import pytest

from runner.python_operators import (
    AUGMENTED,
    BINARY,
    INFIX,
    METHODS,
    PREFIX,
    REFLECTED,
    PythonOperator,
    function_of,
)


@pytest.mark.parametrize("found", INFIX.values(), ids=lambda found: found.name)
def test_an_infix_operator_has_the_sign_and_function_of_its_syntax(found: PythonOperator):
    tree = ast.parse(f"a {found.sign} b", mode="eval").body
    assert type(tree.ops[0] if isinstance(tree, ast.Compare) else tree.op) is found.syntax
    operands = {"a": 7, "b": 2}
    if found.name != "matmul":
        assert eval(f"a {found.sign} b", operands) == found.function(7, 2)


@pytest.mark.parametrize("found", PREFIX.values(), ids=lambda found: found.name)
def test_a_prefix_operator_has_the_sign_and_function_of_its_syntax(found: PythonOperator):
    assert type(ast.parse(f"{found.sign}a", mode="eval").body.op) is found.syntax
    assert eval(f"{found.sign}a", {"a": 7}) == found.function(7)


def _tree(found: PythonOperator, left: ast.expr, right: ast.expr) -> ast.expr:
    if found in BINARY:
        return ast.BinOp(left, found.syntax(), right)
    return ast.Compare(left, [found.syntax()], [right])


@pytest.mark.parametrize("outer", INFIX.values(), ids=lambda found: found.name)
def test_operands_have_parentheses_where_python_needs_them(outer: PythonOperator):
    a, b, c = map(ast.Name, "abc")
    for inner in INFIX.values():
        nested = _tree(inner, a, b)
        on_left = ast.unparse(_tree(outer, nested, c)).startswith("(")
        on_right = ast.unparse(_tree(outer, c, nested)).endswith(")")
        assert on_left == (inner.precedence < outer.precedence.of_left)
        assert on_right == (inner.precedence < outer.precedence.of_right)


def test_no_operator_of_python_is_missing():
    def kinds(base):
        return {*base.__subclasses__()}

    found = {one.syntax for one in (*INFIX.values(), *PREFIX.values())}
    assert found == kinds(ast.operator) | kinds(ast.unaryop) | kinds(ast.cmpop) - {
        ast.In,
        ast.NotIn,
    }


def test_special_methods_are_those_of_python():
    for name, found in METHODS.items():
        assert name == "__div__" or getattr(operator, name) is found.function
    assert {name for name in dir(int) if name in REFLECTED} == {*REFLECTED} - {
        "__rmatmul__", "__rdiv__"
    }  # fmt: skip
    assert all(inspect.isbuiltin(getattr(operator, name)) for name in AUGMENTED)


def test_the_function_of_a_special_method_is_found_by_its_name():
    assert function_of("__rand__") == "and_"
    assert function_of("__div__") == "truediv"
    assert (function_of("__getitem__"), function_of("__abs__")) == ("getitem", "abs")
    assert not any(map(function_of, ("abs", "__repr__", "__init__", "", "_")))
