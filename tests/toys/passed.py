"""A graph whose code passes a unit on as a value, as `checkpoint(self.block, x)` does."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Parameter
from runner.graph.ir.unit import Ref, Unit

CHECKPOINT = "torch.utils.checkpoint:checkpoint"


class Passing(nn.Module):
    """What the graph is of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.block = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True))
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = checkpoint(self.block, self.stem(x), use_reentrant=False)
        return nn.Softmax(dim=1)(self.head(y))


def passing_graph() -> Graph:
    root = Unit("graph", Ref("made.up:Passing"))
    block = Unit.of(
        "torch.nn:Sequential",
        Unit.of("torch.nn:Linear", 6, 6),
        Unit.of("torch.nn:ReLU", inplace=True),
    )
    root.children.update(
        stem=Unit.of("torch.nn:Linear", 4, 6), block=block, head=Unit.of("torch.nn:Linear", 6, 3)
    )
    f = Function("forward", [Parameter("x")])
    stem = f.call_module("stem", f.inputs[0])
    y = f.call_function(CHECKPOINT, f.get_attr("block"), stem, use_reentrant=False)
    y.name = "y"
    softmax = f.call_function("torch.nn:Softmax", dim=1)
    f.result = f.call_method("__call__", softmax, f.call_module("head", y))
    root.define(f)
    graph = Graph(root)
    graph.example = (4,)
    return graph
