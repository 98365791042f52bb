"""What is written is what is built, and strings from a config are never more than strings."""

import ast
import functools
from pathlib import Path

import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

from runner.config.python_source import PythonSource, literal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)  # fmt: skip


def evaluate(node, trust=()):
    source = PythonSource(trust)
    expression = source.expression(node)
    names = {}
    exec("\n".join(sorted(source.imports)), names)
    return eval(expression, names), source


@given(VALUES)
def test_any_value_comes_back_and_is_a_literal(value):
    expression = PythonSource([]).expression(value)
    assert ast.literal_eval(expression) == value


@pytest.mark.parametrize("indent", [0, 3])
def test_a_node_is_a_call_of_what_was_imported(indent):
    source = PythonSource([])
    assert source.expression({"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3},
                             indent) == "Linear(in_features=2, out_features=3)"  # fmt: skip
    assert source.imports == {"from torch.nn import Linear"}


def test_nested_and_partial_nodes_build():
    act = {"_target_": "torch.nn.GELU", "_partial_": True, "approximate": "tanh"}
    made, _ = evaluate({"_target_": "torch.nn.ModuleDict", "modules": {
        "a": {"_target_": "torch.nn.Linear", "in_features": 20, "out_features": 30, "bias": False},
        "b": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 3},
    }})  # fmt: skip
    assert repr(made["a"]) == "Linear(in_features=20, out_features=30, bias=False)"
    partial, source = evaluate(act)
    assert isinstance(partial, functools.partial) and partial().approximate == "tanh"
    assert "import functools" in source.imports


def test_equal_names_from_different_modules_are_told_apart():
    source = PythonSource([])
    names = [source.expression({"_target_": f"torch.{home}.Module"}) for home in ("nn",)]
    names += [source.expression({"_target_": "torch.nn.modules.module.Module"})]
    assert names == ["Module()", "Module_()"]
    assert "from torch.nn.modules.module import Module as Module_" in source.imports


def test_the_folder_of_a_package_that_is_not_installed_is_named_and_of_others_not():
    source = PythonSource(["toy"])
    for path in ("torch.nn.Linear", "spaces.mlp.MLP", "toy.Net"):
        source.expression({"_target_": path})
    assert source.folders == {str(Path(toy.__file__).parent)}


def test_an_argument_that_is_no_name_is_passed_by_a_dict():
    expression = PythonSource(["toy"]).expression(
        {"_target_": "toy.Net", "not a name": 1, "class": 2}
    )
    assert expression == "Net(**{'not a name': 1, 'class': 2})"


def test_a_literal_has_no_calls():
    value = {"a": {"_target_": "os.system", "command": "x"}, "b": [{"_target_": "os.getcwd"}, 1]}
    assert eval(literal(value), {"__builtins__": {}}) == value
    assert literal({"a": 1}) == "{'a': 1}"
