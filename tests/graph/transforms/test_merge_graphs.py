"""One graph put into another: nothing that has a name there is lost, or taken for another."""

import torch
from torch import Tensor, nn

from runner.graph import (
    Function,
    Graph,
    Parameter,
    Unit,
    convert,
    generate,
    lint,
    load_source,
    recording,
)
from runner.graph.ir.argument import Stored
from runner.graph.transforms.merge_graphs import merge_graph


def helper(x: Tensor) -> Tensor:
    return x * 2 + 1


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor([0.3, 0.7, 0.2]), persistent=False)
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return helper(self.fc(x)) + self.table


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 3)
        self.other.weight = self.one.weight
        self.inner = Outer()

    def forward(self, x: Tensor) -> Tensor:
        return helper(self.inner(self.other(self.one(x))))


def converted(model: type[nn.Module]) -> tuple[nn.Module, Graph]:
    with recording():
        made = model()
    return made, convert(made)


def put_at(graph: Graph, path: str):
    def put(unit: Unit) -> str:
        graph.replace(path, unit)
        return path

    return put


def check(graph: Graph) -> nn.Module:
    lint(graph, decided=True)
    models = [
        load_source(generate(graph, standalone=way), graph.tensors).build() for way in (True, False)
    ]
    assert [*models[0].state_dict()] == [*models[1].state_dict()]
    return models[0]


def test_what_is_put_in_computes_what_it_did():
    (_, graph), (tied, made) = converted(Outer), converted(Tied)
    path = merge_graph(graph, made, put_at(graph, "fc"))
    assert path == "fc"
    model = check(graph)
    model.fc.load_state_dict(tied.state_dict())
    x = torch.randn(2, 3)
    torch.testing.assert_close(model.fc(x), tied(x))
    assert model.fc.one.weight is model.fc.other.weight
    assert ("fc.other.weight", "fc.one.weight") in graph.ties
    assert made.root.children.keys() == {"one", "other", "inner"}


def with_function(graph: Graph, factor: int) -> None:
    """Give a graph a function of its own, which its model calls at last."""
    function = Function("scale", [Parameter("x")])
    function.result = function.call_function("operator:mul", function.inputs[0], factor)
    graph.functions["scale"] = function
    forward = graph.root.forward
    forward.result = forward.call_function(":scale", forward.result)


def test_functions_and_tensors_of_one_name_are_told_apart():
    (_, graph), (tied, made) = converted(Outer), converted(Tied)
    with_function(graph, 5)
    with_function(made, 3)
    graph.tensors["table"], made.tensors["table"] = torch.ones(3), torch.arange(3.0)
    forward = made.root.forward
    forward.result = forward.call_function("operator:add", forward.result, Stored("table"))
    merge_graph(graph, made, put_at(graph, "fc"))
    assert [*graph.functions] == ["helper", "scale_2", "scale"]
    assert [*graph.tensors] == ["table", "table_2"]
    assert [*made.functions] == ["helper", "scale"], "the graph that was put in stays as it is"
    model = check(graph)
    model.fc.load_state_dict(tied.state_dict(), strict=False)
    x = torch.randn(2, 3)
    torch.testing.assert_close(model.fc(x), tied(x) * 3 + torch.arange(3.0))


def test_what_is_the_same_is_there_once():
    (_, graph), (_, made) = converted(Outer), converted(Outer)
    with_function(graph, 5)
    with_function(made, 5)
    functions, tensors = [*graph.functions], [*graph.tensors]
    merge_graph(graph, made, put_at(graph, "fc"))
    assert [*graph.functions] == functions
    assert [*graph.tensors] == tensors
    held = graph.unit("fc").buffers["table"]
    assert held is not None
    assert not isinstance(held.start, Stored) or held.start.name in graph.tensors
