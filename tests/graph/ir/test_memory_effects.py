"""Which arguments a call changes in place, compared with a run of torch."""

import pytest
import torch

from runner.graph import Function, Parameter
from runner.graph.ir.effects import WRITE, effect
from runner.graph.ir.memory_effects import written
from runner.graph.ir.signature import locate

NAMES = ("x", "y", "weight", "index")
F = "torch.nn.functional"
CALLS = {
    "a sum": ("torch:add", ["x", "y"], {}),
    "a sum in place": ("operator:iadd", ["x", "y"], {}),
    "into out": ("torch:add", ["x", "x"], {"out": "y"}),
    "without out": ("torch:add", ["x", "y"], {"out": None}),
    "relu": (f"{F}:relu", ["x"], {}),
    "relu in place": (f"{F}:relu", ["x"], {"inplace": True}),
    "relu in place, by position": (f"{F}:relu", ["x", True], {}),
    "an input by name": (f"{F}:relu", [], {"input": "x", "inplace": True}),
    "threshold in place, by position": (f"{F}:threshold", ["x", 0.5, 2.0, True], {}),
    "embedding": (f"{F}:embedding", ["index", "weight"], {}),
    "embedding with a norm": (f"{F}:embedding", ["index", "weight"], {"max_norm": 1.0}),
    "a norm by position": (f"{F}:embedding", ["index", "weight", None, 1.0], {}),
    "a weight by name": (f"{F}:embedding", ["index"], {"weight": "weight", "max_norm": 1.0}),
    "without a norm": (f"{F}:embedding", ["index", "weight"], {"max_norm": None}),
}


def tensors():
    x, y, weight = torch.randn(3, 3, 4, generator=torch.manual_seed(0)) * 9
    return {"x": x, "y": y, "weight": weight, "index": torch.tensor([0, 2])}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_changes_what_it_is_said_to_change(name):
    target, args, kwargs = CALLS[name]

    def call(function, known):
        given = [known.get(arg, arg) for arg in args]
        return function(*given, **{key: known.get(arg, arg) for key, arg in kwargs.items()})

    held, before = tensors(), tensors()
    call(locate(target), held)
    changed = {name for name in NAMES if not held[name].equal(before[name])}
    function = Function("forward", [Parameter(name) for name in NAMES])
    values = dict(zip(NAMES, function.inputs, strict=True))
    call(lambda *args, **kwargs: function.call_function(target, *args, **kwargs), values)
    (node,) = function.nodes
    assert {value.name for value in written(node)} == changed
    assert (effect(node) == WRITE) == bool(changed)
