"""Weights that a model's own code loads: they are inherited, and not carried by its source."""

import torch
from torch import nn

from runner.graph import convert, generate, recording
from runner.graph.codegen.load import load_source
from runner.graph.ir.graph import Graph
from runner.graph.weight_transfer.plan import mark
from runner.graph.weight_transfer.pretrained import loaded_bytes

NUMBERS = torch.Generator().manual_seed(0)
STATE = {  # as if read from a file
    "layer.weight": 0.5 + torch.zeros(40, 40),
    "table": 3 + 2 * torch.randn(40, 40, generator=NUMBERS),
}


class Loads(nn.Module):
    """Holds a table of its own beside layers, and loads all from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(40, 40)
        self.norm = nn.BatchNorm1d(40)
        self.table = nn.Parameter(torch.zeros(40, 40))
        nn.init.zeros_(self.layer.bias)
        self.load_state_dict(self.state_dict() | STATE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(x)) @ self.table


def expanded(graph: Graph) -> tuple[str, nn.Module]:
    """The source and the model of a graph whose class is written out."""
    graph.root.changed = True
    source = generate(graph)
    return source, load_source(source, graph.tensors).build()


def graph_of() -> Graph:
    with recording():
        return convert(Loads())


def test_without_inheritance_the_source_has_what_was_loaded():
    graph = graph_of()
    _, model = expanded(graph)
    assert loaded_bytes(graph) == 40 * 40 * 4  # the table; all others have short expressions
    assert (model.layer.weight == 0.5).all()
    assert torch.equal(model.table, STATE["table"])


def test_a_base_model_does_without():
    graph = mark(graph_of())
    source, model = expanded(graph)
    assert graph.tensors == {} and loaded_bytes(graph) == 0
    assert "copy_" not in source and "CONSTANTS" not in source
    assert model.layer.weight.std() > 0.05
    assert abs(model.table.mean() - 3) < 0.2 and abs(model.table.std() - 2) < 0.2


def test_the_graph_that_was_marked_keeps_it():
    graph = graph_of()
    before = {*graph.tensors}
    mark(graph)
    assert {*graph.tensors} == before and before
