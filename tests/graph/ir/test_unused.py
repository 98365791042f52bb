"""What nothing refers to is dropped, and nothing else."""

import torch

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Parameter
from runner.graph.ir.unit import SET, Call, Ref, Start, Stored, Unit
from runner.graph.ir.unused import drop_unused_functions, drop_unused_tensors


def calling(name: str, target: str, *more: object) -> Function:
    function = Function(name, [Parameter("x")])
    function.result = function.call_function(target, function.inputs[0], *more)
    return function


def graph_of(function: Function) -> Graph:
    root = Unit("graph", Ref("torch.nn:Module"))
    root.functions = {function.name: function}
    return Graph(root)


def test_functions_that_are_called_by_others_are_kept():
    graph = graph_of(calling("forward", ":one"))
    called = {"one": ":two", "two": ":one", "three": ":two"}
    graph.functions = {name: calling(name, target) for name, target in called.items()}
    drop_unused_functions(graph)
    assert [*graph.functions] == ["one", "two"]


def test_tensors_are_kept_wherever_they_are_used():
    graph = graph_of(calling("forward", "torch:add", Stored("in a node")))
    graph.functions = {"free": calling("free", "torch:add", Stored("in a function"))}
    passed = Unit.of("torch.nn:Linear", 2, 2)
    passed.attributes = {"more": [Stored("in a module that a constructor is given")]}
    graph.root.call = Call("mine:Net", (passed, Stored("in a call")))
    start = Start(graph.root, "weight", SET, (Call(".t", (Stored("in a start"),)),))
    graph.root.starts = [start]
    names = [
        "in a node", "in a function", "in a module that a constructor is given", "in a call",
        "in a start",
    ]  # fmt: skip
    graph.tensors = {name: torch.ones(1) for name in [*names, "nowhere"]}
    drop_unused_tensors(graph)
    assert [*graph.tensors] == names
