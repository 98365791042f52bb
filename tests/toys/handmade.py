"""Graphs made by hand, beside the modules they stand for."""

import torch
from torch import nn
from torch.nn import functional as F

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Parameter
from runner.graph.ir.unit import Call, Ref, Unit, Weight


class Block(nn.Module):
    """A residual block with an optional projection."""

    def __init__(self, inp: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inp, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down = None
        if inp != out:
            self.down = nn.Sequential(
                nn.Conv2d(inp, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.down is not None:
            identity = self.down(x)
        out += identity
        return self.relu(out)


class Net(nn.Module):
    """A small residual network with a loop, a condition, a buffer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layer1 = nn.Sequential(Block(8, 8), Block(8, 8))
        self.layer2 = nn.Sequential(Block(8, 16, 2))
        self.scale = nn.Parameter(torch.full((16, 1, 1), 0.5))
        self.register_buffer("shift", torch.zeros(16, 1, 1))
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(16, 4)
        self.times = 3

    def forward(self, x, flip: bool = False):
        x = F.relu(self.stem(x))
        x = self.layer2(self.layer1(x))
        if self.training:  # noqa: SIM108 (a condition of its own)
            x = x * self.scale
        else:
            x = x + self.shift
        for i in range(self.times):
            x = x + i
        if flip:
            x = x.flip(-1)
        return self.fc(self.dropout(x.mean((2, 3))))


def conv(inp: int, out: int, k: int, **kwargs) -> Unit:
    return Unit.of("torch.nn:Conv2d", inp, out, k, **kwargs)


def block_unit(inp: int, out: int, stride: int = 1) -> Unit:
    arguments = {"stride": stride} if stride != 1 else {}
    call = Call(f"{__name__}:Block", (inp, out), arguments)
    unit = Unit("graph", Ref(call.target), call)
    unit.set_child("conv1", conv(inp, out, 3, **arguments, padding=1, bias=False))
    unit.set_child("bn1", Unit.of("torch.nn:BatchNorm2d", out))
    unit.set_child("relu", Unit.of("torch.nn:ReLU", inplace=True))
    unit.set_child("conv2", conv(out, out, 3, padding=1, bias=False))
    unit.set_child("bn2", Unit.of("torch.nn:BatchNorm2d", out))
    f = Function("forward", [Parameter("x")])
    x = identity = f.inputs[0]
    y = f.call_module("relu", f.call_module("bn1", f.call_module("conv1", x)))
    out_value = f.create("call_module", "conv2", [y], outputs=["out"], line="net.py:12").output
    out_value = f.create("call_module", "bn2", [out_value], outputs=["out"]).output
    if inp != out:
        down = Unit("graph", Ref("torch.nn:Sequential"), Call("torch.nn:Sequential"))
        down.set_child("0", conv(inp, out, 1, **arguments, bias=False))
        down.set_child("1", Unit.of("torch.nn:BatchNorm2d", out))
        unit.set_child("down", down)
        identity = f.call_module("down", x)
    else:
        unit.set_child("down", None)
    f.create("call_function", "operator:iadd", [out_value, identity], outputs=[], line="net.py:15")
    f.result = f.call_module("relu", out_value)
    unit.define(f)
    unit.changed = False
    return unit


def sequential(*units: Unit) -> Unit:
    unit = Unit("graph", Ref("torch.nn:Sequential"), Call("torch.nn:Sequential", units))
    for i, child in enumerate(units):
        unit.set_child(str(i), child)
    return unit


def net_graph() -> Graph:
    """The graph of `Net`."""
    root = Unit("graph", Ref(f"{__name__}:Net"), Call(f"{__name__}:Net"))
    root.set_child("stem", conv(3, 8, 3, padding=1))
    root.set_child("layer1", sequential(block_unit(8, 8), block_unit(8, 8)))
    root.set_child("layer2", sequential(block_unit(8, 16, 2)))
    root.parameters["scale"] = Weight((16, 1, 1), start=Call("torch:full", ((16, 1, 1), 0.5)))
    root.buffers["shift"] = Weight((16, 1, 1), requires_grad=False)
    root.set_child("dropout", Unit.of("torch.nn:Dropout", 0.5))
    root.set_child("fc", Unit.of("torch.nn:Linear", 16, 4))
    root.attributes["times"] = 3
    f = Function("forward", [Parameter("x"), Parameter("flip", (False,), "bool")])
    x, flip = f.inputs
    x = f.call_function("torch.nn.functional:relu", f.call_module("stem", x))
    x = f.call_module("layer2", f.call_module("layer1", x))
    branch = f.create("if", "", [f.get_attr("training")], outputs=["x"])
    with f.inserting_into(branch.add_block()):
        scaled = f.call_function("operator:mul", x, f.get_attr("scale"))
    branch.blocks[0].results = (scaled,)
    with f.inserting_into(branch.add_block()):
        shifted = f.call_function("operator:add", x, f.get_attr("shift"))
    branch.blocks[1].results = (shifted,)
    loop = f.create("loop", "", [f.get_attr("times"), True, branch.output], outputs=["x"])
    body = loop.add_block()
    i, carried = body.add_input("i"), body.add_input("x")
    with f.inserting_into(body):
        body.results = (True, f.call_function("operator:add", carried, i))
    flipped = f.create("if", "", [flip], outputs=["x"])
    with f.inserting_into(flipped.add_block()):
        flipped.blocks[0].results = (f.call_method("flip", loop.output, -1),)
    flipped.add_block().results = (loop.output,)
    pooled = f.call_method("mean", flipped.output, (2, 3))
    f.result = f.call_module("fc", f.call_module("dropout", pooled))
    root.define(f)
    root.changed = False
    return Graph(root)
