"""Graphs as text."""

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph, Note
from runner.graph.ir.node import Parameter, Spec
from runner.graph.ir.unit import Call, Edit, Ref, Start, Stored, Unit, Weight


def test_a_function_prints_one_line_for_each_node() -> None:
    f = Function("forward", [Parameter("x"), Parameter("n", (3,), "int")])
    x, n = f.inputs
    made = f.create("call_module", "layer.0", (x,), {"dim": 1}, outputs=("x",)).output
    made.spec = Spec((1, 8))
    both = f.call_function("torch:cat", [made, x], dim=-1)
    f.create("set_attr", "count", (n,), outputs=())
    part = f.call_function("operator:getitem", both, (slice(None, 2), ..., Ref("torch:int64")))
    node = f.create("if", "", (f.call_method("any", part),), outputs=("",))
    then, other = node.add_block(), node.add_block()
    with f.inserting_into(then):
        f.create("raise", "builtins:ValueError", ('no "x"',), outputs=())
    then.results = (None,)
    other.results = (f.inputs[0],)
    f.result = (node.output,)
    assert str(f) == (
        "def forward(%x, %n: int = 3):\n"
        "    %x_1: float32[1, 8] = self.layer.0(%x, dim=1)\n"
        "    %0 = torch.cat([%x_1, %x], dim=-1)\n"
        "    self.count = %n\n"
        "    %1 = operator.getitem(%0, (:2, ..., torch.int64))\n"
        "    %2 = %1.any()\n"
        "    %3 = if %2:\n"
        "        raise ValueError('no \"x\"')\n"
        "        -> None\n"
        "    else:\n"
        "        -> %x\n"
        "    return (%3,)"
    )


def test_a_loop_prints_its_inputs_and_results() -> None:
    f = Function("forward", [Parameter("x")])
    loop = f.create("loop", "", (3, True, f.inputs[0]), outputs=("y",))
    block = loop.add_block()
    block.add_input("i")
    block.results = (True, block.add_input("y"))
    f.result = f.create("dict", "", ("a", loop.output)).output
    assert str(f) == (
        "def forward(%x):\n"
        "    %y_1 = loop 3, True, %x:\n"
        "        for %i, %y:\n"
        "        -> True, %y\n"
        '    %0 = {"a": %y_1}\n'
        "    return %0"
    )


def test_a_graph_prints_its_units_with_grade_class_and_constructor() -> None:
    root = Unit("graph", Ref("made.up:Net"))
    layer = Unit.of("torch.nn:Linear", 8, 4, bias=False)
    root.children.update(a=layer, b=layer, c=None, d=Unit.of("torch.nn:Linear", 8, 4))
    root.parameters["scale"] = Weight((4,), start=Call("torch:ones", (4,)), requires_grad=False)
    root.buffers["mask"] = Weight((2,), "bool", persistent=False, start=Stored("c0"))
    root.attributes["size"] = (1, 2)
    root.edits.append(Edit.at(root, "a", "in_features", 9))
    root.starts.append(Start(layer, "weight", "torch.nn.init:normal_", (), {"std": 0.1}))
    root.hooked.append(Call("torch.nn.utils:weight_norm", (), {"name": "weight"}))
    forward = Function("forward", [Parameter("x")])
    forward.result = forward.call_module("a", forward.inputs[0])
    root.define(forward)
    graph = Graph(root)
    graph.ties = [("d.weight", "a.weight")]
    graph.notes.append(Note("a", "Linear", "Kept."))
    graph.history.append("Something was done.")
    assert str(graph) == (
        "Net (graph)\n"
        "    scale: parameter float32[4] frozen = torch.ones(4)\n"
        "    mask: buffer bool[2] not persistent = stored c0\n"
        "    size = (1, 2)\n"
        "    a: torch.nn.Linear(8, 4, bias=False) (basic)\n"
        "    b: = a\n"
        "    c: None\n"
        "    d: torch.nn.Linear(8, 4) (basic)\n"
        "    edit a.in_features = 9\n"
        "    start a.weight torch.nn.init.normal_(std=0.1)\n"
        '    hooked torch.nn.utils.weight_norm(name="weight")\n'
        "\n"
        "    def forward(%x):\n"
        "        %0 = self.a(%x)\n"
        "        return %0\n"
        "tie d.weight = a.weight\n"
        "note a (Linear): Kept.\n"
        "history Something was done."
    )
