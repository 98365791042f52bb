"""The interpreter computes what the model computes, and runs a method for each operation."""

from collections import Counter

import handmade
import passed
import pytest
import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.interpreter.interpreter import OPS, Interpreter
from runner.graph.interpreter.shape_propagation import propagate
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.node import Parameter
from runner.graph.ir.unit import Call, Edit, Ref, Start, Stored, Unit, Weight


@pytest.fixture
def x():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def of(function: Function, **attributes) -> Graph:
    """A graph of one unit with one function."""
    root = Unit("graph", Ref("net:Net"))
    root.define(function)
    root.attributes.update(attributes)
    graph = Graph(root)
    lint(graph)
    return graph


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_gives_what_the_model_gives(x, training, flip):
    torch.manual_seed(0)
    model = handmade.Net()
    graph = handmade.net_graph()
    lint(graph, decided=True)
    interpreter = Interpreter(graph).load_state_dict(model.state_dict())
    assert [*interpreter.model.state_dict()] == [*model.state_dict()]
    for module in (model, interpreter.model):
        module.train(training)
    torch.manual_seed(1)
    expected = model(x, flip=flip)
    torch.manual_seed(1)
    result = interpreter(x, flip=flip)
    assert torch.equal(result, expected)
    expected.sum().backward()
    result.sum().backward()
    grads = {name: p.grad for name, p in interpreter.model.named_parameters()}
    for name, p in model.named_parameters():
        assert (grads[name] is None) == (p.grad is None)
        assert p.grad is None or torch.allclose(grads[name], p.grad)


def test_every_operation_can_be_watched_by_its_name(x):
    seen: Counter[str] = Counter()

    def watched(op):
        def run(self, node, frame):
            seen[op] += 1
            return getattr(Interpreter, f"run_{op}")(self, node, frame)

        return run

    Watching = type("Watching", (Interpreter,), {f"run_{op}": watched(op) for op in OPS})
    Watching(handmade.net_graph())(x)
    assert seen["if"] == 2
    assert seen["loop"] == 1
    assert seen["call_module"] == 5 + 3 * 6 + 1


def test_loops_carry_values_and_stop_on_their_condition():
    f = Function("forward", [Parameter("n")])
    loop = f.create("loop", "", [None, True, f.inputs[0], ()], outputs=["n", "seen"])
    body = loop.add_block()
    index, n, seen = (body.add_input(name) for name in ("i", "n", "seen"))
    with f.inserting_into(body):
        less = f.call_function("operator:sub", n, 2)
        more = f.call_function("operator:add", seen, (index,))
        body.results = (f.call_function("operator:gt", less, 0), less, more)
    f.result = tuple(loop.outputs)
    interpreter = Interpreter(of(f))
    assert interpreter(5) == (-1, (0, 1, 2))


def test_lists_dicts_slices_and_unpacking():
    f = Function("forward", [Parameter("x"), Parameter("k", (1,))])
    x, k = f.inputs
    items = f.create("list", "", [x, 1]).output
    f.create("call_method", "append", [items, k], outputs=[])
    (single,) = f.create("unpack", "", [(k,)], outputs=["k"]).outputs
    first, second = f.create("call_function", "builtins:divmod", [7, 2], outputs="ab").outputs
    table = f.create("dict", "", ["a", first, "b", single]).output
    part = f.call_function("operator:getitem", items, slice(k, None, None))
    f.result = (items, part, table, second, {"k": [k]})
    assert Interpreter(of(f))(5, k=2) == ([5, 1, 2], [2], {"a": 3, "b": 2}, 1, {"k": [2]})


def test_context_managers_exceptions_and_functions_of_the_graph():
    helper = Function("helper", [Parameter("x"), Parameter("by", (2,))])
    helper.result = helper.call_function("operator:mul", *helper.inputs)
    f = Function("forward", [Parameter("x")])
    guard = f.call_function("torch:no_grad")
    inside = f.create("with", "", [guard], outputs=["y"])
    with f.inserting_into(inside.add_block()):
        inside.blocks[0].results = (f.call_function(":helper", f.inputs[0]),)
    empty = f.call_function("operator:eq", f.call_method("numel", f.inputs[0]), 0)
    check = f.create("if", "", [empty], outputs=[])
    with f.inserting_into(check.add_block()):
        f.create("raise", "builtins:ValueError", ["no data"], outputs=[])
    check.add_block()
    f.result = inside.output
    root = of(Function("forward")).root
    root.define(f)
    graph = Graph(root)
    graph.functions["helper"] = helper
    lint(graph)
    interpreter = Interpreter(graph)
    result = interpreter(torch.ones(2, requires_grad=True))
    assert result.tolist() == [2, 2]
    assert not result.requires_grad
    with pytest.raises(ValueError, match="no data"):
        interpreter(torch.ones(0))


def test_other_methods_attributes_and_stored_tensors():
    f = Function("forward", [Parameter("x")])
    count = f.get_attr("count")
    f.create("set_attr", "count", [f.call_function("operator:add", count, 1)], outputs=[])
    f.result = f.call_function("operator:add", f.call_module(":double", f.inputs[0]), Stored("c"))
    double = Function("double", [Parameter("x")])
    double.result = (double.call_method("mul", double.inputs[0], 2), double.get_attr("count"))
    double.result = double.result[0]
    graph = of(Function("forward"), count=0)
    graph.root.define(double)
    graph.root.define(f)
    graph.tensors["c"] = torch.tensor([1.0, 2.0])
    lint(graph)
    interpreter = Interpreter(graph)
    assert interpreter(torch.ones(2)).tolist() == [3, 4]
    assert interpreter.model.count == 1


class Shell(nn.Module):
    """Runs its children from its own Python."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.gain = 2.0

    def forward(self, x, *rest):
        for block in self.blocks:
            x = block(x) * self.gain
        return x


def test_shells_run_their_own_forward_with_generated_children(monkeypatch):
    monkeypatch.setattr(handmade, "Shell", Shell, raising=False)
    shell = Unit("shell", Ref("handmade:Shell"), Call("handmade:Shell", (4,)))
    blocks = Unit("graph", Ref("torch.nn:ModuleList"))
    for i in range(2):
        blocks.set_child(str(i), Unit.of("torch.nn:Linear", 4, 4))
    shell.set_child("blocks", blocks)
    shell.attributes["gain"] = 2.0
    model = Shell(4)
    interpreter = Interpreter(Graph(shell)).load_state_dict(model.state_dict())
    x = torch.ones(1, 4)
    assert torch.equal(interpreter(x), model(x))


def test_what_was_done_behind_the_constructor_is_done_again():
    unit = Unit.of("torch.nn:Linear", 2, 2)
    unit.edits = [Edit(unit, "", "bias", None), Edit(unit, "", "note", "edited")]
    unit.hooked = [Call("torch.nn.utils.parametrizations:weight_norm")]
    root = of(Function("forward")).root
    root.set_child("fc", unit)
    root.set_child("twin", Unit.of("torch.nn:Linear", 2, 2, bias=False))
    root.parameters["w"] = Weight((2,), requires_grad=False, start=Call("torch:ones", (2,)))
    root.buffers["hidden"] = Weight((1,), persistent=False)
    root.starts = [Start(root.children["twin"], "weight", "torch.nn.init:constant_", (3.0,)),
                   Start(root, "w", ".mul_", (5,))]  # fmt: skip
    model = Interpreter(Graph(root)).model
    assert model.fc.bias is None
    assert model.fc.note == "edited"
    assert "fc.parametrizations.weight.original0" in model.state_dict()
    assert model.twin.weight.tolist() == [[3, 3], [3, 3]]
    assert model.w.tolist() == [5, 5]
    assert not model.w.requires_grad
    assert "hidden" not in model.state_dict()


def test_shared_units_and_tied_parameters_are_one():
    root = of(Function("forward")).root
    shared = Unit.of("torch.nn:Linear", 2, 2)
    root.set_child("a", shared)
    root.set_child("b", shared)
    root.set_child("c", Unit.of("torch.nn:Linear", 2, 2))
    graph = Graph(root)
    graph.ties = [("c.weight", "a.weight")]
    model = Interpreter(graph).model
    assert model.a is model.b
    assert model.c.weight is model.a.weight


def test_containers_are_containers():
    root = of(Function("forward")).root
    weights = Unit("graph", Ref("torch.nn:ParameterList"))
    weights.parameters.update({"0": Weight((2,)), "1": Weight((3,))})
    table = Unit("graph", Ref("torch.nn:ModuleDict"))
    table.set_child("relu", Unit.of("torch.nn:ReLU"))
    root.set_child("weights", weights)
    root.set_child("table", table)
    model = Interpreter(Graph(root)).model
    assert [w.numel() for w in model.weights] == [2, 3]
    assert isinstance(model.table["relu"], nn.ReLU)


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (Unit("basic", Ref("net:Thing")), "its constructor call is unknown"),
        (Unit("symbolic", Ref("runner.nn:LayerChoice")), "is symbolic"),
        (Unit.of("torch.nn:Conv2d", 3), "cannot be constructed: TypeError"),
        (Unit("shell", Ref("nowhere:Shell")), "cannot be imported"),
    ],
)
def test_a_unit_that_cannot_be_made_is_named(unit, text):
    root = of(Function("forward")).root
    root.set_child("odd", unit)
    with pytest.raises(GraphError, match=rf"^odd \(\w+\).*{text}"):
        Interpreter(Graph(root))


def test_wrong_arguments_are_refused_as_python_does(x):
    interpreter = Interpreter(handmade.net_graph())
    for args, kwargs in [((), {}), ((x, True, 1), {}), ((x,), {"flap": 1})]:
        with pytest.raises(TypeError, match="argument"):
            interpreter(*args, **kwargs)


def test_a_unit_is_a_value_and_values_are_called():
    graph, model = passed.passing_graph(), passed.Passing()
    lint(graph, decided=True)
    x = torch.randn(2, 4)
    interpreter = Interpreter(graph).load_state_dict(model.state_dict())
    assert interpreter(x).equal(model(x))
    assert str(propagate(graph, x).result) == "float32[2, 3]"


def test_a_class_is_called_as_its_name_is():
    f = Function("forward", [Parameter("x")])
    made = f.call_method("__call__", Ref("collections:Counter"), f.inputs[0])
    f.result = f.call_method("most_common", made, 1)
    assert Interpreter(of(f))([3, 1, 3]) == [(3, 2)]


def test_a_unit_may_have_the_name_of_a_method():
    f = Function("forward", [Parameter("x")])
    f.result = f.call_method("__call__", f.get_attr("method"), f.inputs[0])
    root = Unit("graph", Ref("net:Net"))
    root.children["method"] = Unit.of("torch.nn:ReLU")
    root.define(f)
    graph = Graph(root)
    lint(graph)
    assert Interpreter(graph)(torch.tensor([-1.0])).equal(torch.zeros(1))
