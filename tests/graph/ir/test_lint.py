"""Every rule of the graph, broken once."""

import pytest
import torch

from runner.errors import GraphError
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.node import Parameter
from runner.graph.ir.unit import Call, Edit, Ref, Start, Stored, Unit, Weight


def block_unit() -> Unit:
    """relu(bn(conv(x))) + scale, with a condition and a loop."""
    unit = Unit("graph", Ref("net:Block"))
    unit.set_child("conv", Unit.of("torch.nn:Conv2d", 3, 3, 3, padding=1))
    unit.set_child("bn", Unit.of("torch.nn:BatchNorm2d", 3))
    unit.parameters["scale"] = Weight((3, 1, 1))
    unit.attributes["times"] = 2
    f = Function("forward", [Parameter("x")])
    (x,) = f.inputs
    y = f.call_module("conv", x)
    training = f.get_attr("training")
    branch = f.create("if", "", [training], outputs=["y"], line="net.py:7")
    for inner in (branch.add_block(), branch.add_block()):
        with f.inserting_into(inner):
            inner.results = (f.call_module("bn", y),)
    times = f.get_attr("times")
    loop = f.create("loop", "", [times, True, branch.output], outputs=["y"], line="net.py:9")
    body = loop.add_block()
    body.add_input("i")
    carried = body.add_input("y")
    with f.inserting_into(body):
        body.results = (True, f.call_function("torch:relu", carried))
    f.result = f.call_function("operator:add", loop.output, f.get_attr("scale"))
    unit.define(f)
    return unit


@pytest.fixture
def graph() -> Graph:
    root = Unit("graph", Ref("net:Net"))
    sequence = Unit("graph", Ref("torch.nn:Sequential"))
    for i in range(2):
        sequence.set_child(str(i), block_unit())
    root.set_child("blocks", sequence)
    f = Function("forward", [Parameter("x")])
    f.result = f.call_module("blocks", f.inputs[0])
    root.define(f)
    root.starts = [Start(root.at("blocks.0"), "scale", "torch.nn.init:ones_")]
    graph = Graph(root)
    graph.ties = [("blocks.1.scale", "blocks.0.scale")]
    return graph


def test_a_graph_in_order_passes(graph):
    lint(graph, decided=True)
    lint(graph.copy(), decided=True)


def forward(graph: Graph, path: str = "blocks.0") -> Function:
    return graph.unit(path).forward


def node(graph: Graph, op: str):
    return next(n for n in forward(graph).nodes if n.op == op)


def use_from_a_block(graph):
    f = forward(graph)
    f.result = node(graph, "if").blocks[0].nodes[0].output


def use_before(graph):
    nodes = forward(graph).block.nodes
    nodes.insert(0, nodes.pop(-2))


def use_of_another_function(graph):
    forward(graph).result = forward(graph, "blocks.1").inputs[0]


def a_user_that_is_gone(graph):
    f = forward(graph)
    f.block.nodes.remove(f.call_function("torch:abs", f.inputs[0]).node)


def a_value_that_forgot_its_user(graph):
    forward(graph).inputs[0].users.clear()


def a_user_that_does_not_use(graph):
    f = forward(graph)
    f.inputs[0].users[f.block.end] = None


def an_output_in_the_middle(graph):
    forward(graph).create("output", "", [])


def two_results(graph):
    f = forward(graph)
    f.block.results = (f.inputs[0], f.inputs[0])


def no_output(graph):
    block = node(graph, "if").blocks[0]
    block.results = ()
    for inner in block.nodes[:-1]:
        inner.args = ()
    block.nodes.clear()


def branches_that_differ(graph):
    node(graph, "if").blocks[1].results = ()


def inputs_of_a_branch(graph):
    node(graph, "if").blocks[1].add_input()


def three_branches(graph):
    node(graph, "if").add_block()


def a_loop_without_index(graph):
    node(graph, "loop").blocks[0].inputs.pop(0)


def a_loop_without_condition(graph):
    block = node(graph, "loop").blocks[0]
    block.results = block.results[1:]


def a_loop_that_loses_what_it_carries(graph):
    node(graph, "loop").add_output()


def an_unknown_operation(graph):
    forward(graph).create("jump", "")


def creating(op, target, args=(), outputs=("",), kwargs=None):
    def change(graph):
        forward(graph).create(op, target, args, kwargs, outputs=outputs)

    return change


WRONG = [
    (use_from_a_block, "not defined there"),
    (use_before, "not defined there"),
    (use_of_another_function, "not defined there"),
    (a_user_that_is_gone, "is not in the function"),
    (a_value_that_forgot_its_user, "does not list it"),
    (a_user_that_does_not_use, "does not use it"),
    (an_output_in_the_middle, "last node"),
    (two_results, "one value"),
    (no_output, "empty"),
    (branches_that_differ, "0 results for 1 outputs"),
    (inputs_of_a_branch, "no inputs"),
    (three_branches, "3 blocks"),
    (a_loop_without_index, "inputs"),
    (a_loop_without_condition, "results"),
    (a_loop_that_loses_what_it_carries, "outputs"),
    (an_unknown_operation, "no operation 'jump'"),
    (creating("call_module", "con"), "no unit 'con'. Did you mean 'conv'"),
    (creating("call_module", ":run"), "no function 'run'"),
    (creating("call_module", "conv:a b"), "not a method"),
    (creating("call_function", "torch.relu"), "not a target"),
    (creating("call_function", "os:system('x')"), "not a target"),
    (creating("call_function", ":helper"), "graph has no function 'helper'"),
    (creating("call_function", "torch.nn.functional:nope"), "has no attribute 'nope'"),
    (creating("call_function", "torch.nn.nope:relu"), "cannot be imported"),
    (creating("call_function", "torch:float32"), "cannot be called"),
    (creating("call_function", "torch:abs", [Ref("torch:nope")]), "has no attribute 'nope'"),
    (creating("call_function", "torch:abs", [torch.float32]), "write Ref('torch:float32')"),
    (creating("raise", "builtins:NoError", ["x"], ()), "has no attribute 'NoError'"),
    (creating("call_method", "add_"), "receiver"),
    (creating("call_method", "a.b", [1]), "not a method"),
    (creating("call_function", "torch:abs", kwargs={"a b": 1}), "name of an argument"),
    (creating("call_function", "torch:abs", [object()]), "not a constant of a graph"),
    (creating("call_function", "torch:abs", [torch.Size([1])]), "not a constant of a graph"),
    (creating("call_function", "torch:abs", [Stored("c0")]), "no tensor 'c0'"),
    (creating("get_attr", "scal"), "Did you mean 'scale'"),
    (creating("get_attr", "scale", [1]), "no arguments"),
    (creating("get_attr", "conv..weight"), "not a path"),
    (creating("set_attr", "times", [1]), "outputs"),
    (creating("set_attr", "bn.eps", [1], ()), "this unit itself"),
    (creating("set_attr", "count", [1], ()), "no attribute 'count'"),
    (creating("dict", "", [1]), "in turn"),
    (creating("unpack", "", [1, 2]), "one argument"),
    (creating("raise", "ValueError", ["x"], ()), "not a target"),
    (creating("if", "", [True]), "0 blocks"),
    (creating("with", "", [True]), "0 blocks"),
    (creating("loop", "", [3]), "trip count"),
]


@pytest.mark.parametrize(("change", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_body_out_of_order_is_refused_with_the_place(graph, change, text):
    change(graph)
    with pytest.raises(GraphError) as caught:
        lint(graph)
    assert text in str(caught.value)
    assert str(caught.value).startswith("blocks.0, forward: <")


def test_the_line_of_the_source_is_named(graph):
    node(graph, "if").add_block()
    with pytest.raises(GraphError, match=r"<if> \(net.py:7\)"):
        lint(graph)


def a_value_in_a_call(graph):
    f = forward(graph)
    f.call_function("torch:abs", Call("torch:zeros", (f.inputs[0],)))


def a_node_twice(graph):
    nodes = forward(graph).block.nodes
    nodes.insert(0, nodes[0])


def test_values_in_calls_and_nodes_in_two_places_are_refused(graph):
    for change in (a_value_in_a_call, a_node_twice):
        wrong = graph.copy()
        change(wrong)
        with pytest.raises(GraphError):
            lint(wrong)
    lint(graph)


def child(name):
    def change(graph):
        graph.root.children[name] = Unit.of("torch.nn:ReLU")

    return change


def tie(graph):
    graph.ties = [*graph.ties, ("blocks.0.bias", "blocks.1.scale")]


def start_elsewhere(graph):
    graph.root.starts.append(Start(block_unit(), "scale", "torch.nn.init:ones_"))


def start_of_nothing(graph):
    graph.root.starts.append(Start(graph.root, "scale", "torch.nn.init:ones_"))


def start_by_nothing(graph):
    graph.root.starts.append(Start(graph.unit("blocks.0"), "scale", "exec('x')"))


def edit_of_nothing(graph):
    graph.root.edits.append(Edit.at(graph.root, "blocks.7", "eps", 1))


def clash(graph):
    graph.unit("blocks.0").attributes["conv"] = 1


def method_name(graph):
    graph.root.define(Function("__init__"))


def method_key(graph):
    graph.root.functions["other"] = graph.root.functions["forward"]


def parameter_name(graph):
    graph.root.define(Function("forward", [Parameter("x"), Parameter("x")]))


def parameter_order(graph):
    graph.root.define(Function("forward", [Parameter("x", (1,)), Parameter("y")]))


def call_of_nothing(graph):
    graph.root.call = Call("Net")


def cycle(graph):
    graph.unit("blocks.0").children["again"] = graph.root


def cycle_of_arguments(graph):
    one = Unit.of("torch.nn:Linear", 1, 1)
    one.call = Call("torch.nn:Linear", (one,))
    graph.root.children["one"] = one


def child_that_is_no_unit(graph):
    graph.root.children["one"] = "relu"


def layer_of_nothing(graph):
    graph.root.set_child("one", Unit.of("torch.nn:Lineer", 1, 1))


def start_by_a_missing_function(graph):
    graph.root.starts.append(Start(graph.unit("blocks.0"), "scale", "torch.nn.init:one_"))


def attribute_of_nothing(graph):
    graph.root.attributes["act"] = Ref("torch.nn.functional:nope")


def attribute_in_no_form(graph):
    graph.root.attributes["kind"] = [torch.float32]


def attribute_in_no_file(graph):
    graph.root.attributes["table"] = Stored("t")


def dtype_of_nothing(graph):
    graph.root.parameters["w"] = Weight((1,), "float33")


def self_outside(graph):
    f = Function("helper")
    f.get_attr("scale")
    graph.functions["helper"] = f


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (child(""), "name of a child"),
        (child("a.b"), "name of a child"),
        (tie, "no parameter or buffer 'bias'"),
        (start_elsewhere, "unit outside the graph"),
        (start_of_nothing, "no parameter or buffer 'scale'"),
        (start_by_nothing, "not a function"),
        (edit_of_nothing, "no unit 'blocks.7'"),
        (clash, "'conv' is both a child and an attribute"),
        (method_name, "'__init__' cannot be"),
        (method_key, "kept under 'other'"),
        (parameter_name, "name of a parameter"),
        (parameter_order, "without a default"),
        (call_of_nothing, "not a target"),
        (self_outside, "no `self`"),
        (cycle, "blocks.0.again: the Net contains itself"),
        (cycle_of_arguments, "one: the Linear contains itself"),
        (child_that_is_no_unit, "'one' is 'relu', not a Unit"),
        (layer_of_nothing, "has no attribute 'Lineer'. Did you mean 'Linear'"),
        (start_by_a_missing_function, "has no attribute 'one_'. Did you mean"),
        (attribute_of_nothing, "has no attribute 'nope'"),
        (attribute_in_no_form, "write Ref('torch:float32')"),
        (attribute_in_no_file, "no tensor 't'"),
        (dtype_of_nothing, "'float33' is not a dtype"),
        *((child(name), "name of a child") for name in ("forward", "training", "__init__")),
    ],
)
def test_a_unit_out_of_order_is_refused(graph, change, text):
    change(graph)
    with pytest.raises(GraphError) as caught:
        lint(graph)
    assert text in str(caught.value)


def test_what_is_open_is_refused_once_a_sample_is_decided(graph):
    graph.unit("blocks").set_child("1", Unit("symbolic", Ref("runner.nn:LayerChoice")))
    graph.ties = []
    lint(graph)
    with pytest.raises(
        GraphError, match=r"blocks.1: the LayerChoice \(without a label\) is still symbolic"
    ):
        lint(graph, decided=True)


def test_the_inside_of_basic_units_and_shells_is_not_looked_at(graph):
    f = forward(graph)
    f.get_attr("conv.weight")
    f.call_module("conv:anything", f.inputs[0])
    lint(graph)
    shell = Unit("shell", Ref("net:Shell"))
    graph.unit("blocks").set_child("0", shell)
    graph.root.starts.clear()
    graph.root.forward.call_module("blocks.0:own", graph.root.forward.inputs[0])
    lint(graph)


def test_a_function_may_ask_for_the_unit_itself(graph):
    forward(graph).get_attr("")
    lint(graph)


def test_a_change_after_a_copy_is_found(graph):
    lint(graph)
    copy = graph.copy()
    lint(copy)
    use_from_a_block(copy)
    with pytest.raises(GraphError):
        lint(copy)
    lint(graph)
