"""What generated source looks like, and that it builds the model."""

import ast
import gc
import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from runner.errors import GraphError
from runner.graph.codegen.check_source import verify
from runner.graph.codegen.generate import generate
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Parameter, Value
from runner.graph.ir.unit import Call, Edit, Ref, Start, Stored, Unit, Weight
from runner.nn.values.expression import Variable
from runner.space.choice import Categorical


def unit(name: str = "Net", **children: Unit | None) -> Unit:
    made = Unit("graph", Ref(f"made.up:{name}"))
    made.children.update(children)
    return made


def linear(inputs: int = 8, outputs: int = 8, **kwargs: Any) -> Unit:
    return Unit.of("torch.nn:Linear", inputs, outputs, **kwargs)


def chain(*names: str) -> Function:
    """A forward that calls children one after another."""
    function = Function("forward", [Parameter("x")])
    (x,) = function.inputs
    for name in names:
        x = function.create("call_module", name, (x,), outputs=("x",)).output
    function.result = x
    return function


def net(function: Function, **children: Unit | None) -> Graph:
    root = unit(**children)
    root.define(function)
    return Graph(root)


def body(function: Function, **children: Unit) -> str:
    """The lines of a function as generated, without its margin."""
    source = generate(net(function, **children))
    tree = ast.parse(source)
    (made,) = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "forward")
    lines = source.splitlines()[made.lineno : made.end_lineno]
    return "\n".join(line[8:] for line in lines)


def load(source: str) -> Any:
    space: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source, "generated", "exec"), space)
    return space["build"]()


def test_a_straight_line_reads_like_a_hand_written_model() -> None:
    graph = net(chain("conv", "relu"), conv=Unit.of("torch.nn:Conv2d", 3, 8, 3, padding=1),
                relu=Unit.of("torch.nn:ReLU"))  # fmt: skip
    assert generate(graph) == (
        "import torch\n"
        "from torch import nn\n"
        "\n\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 8, 3, padding=1)\n"
        "        self.relu = nn.ReLU()\n"
        "\n"
        "    def forward(self, x):\n"
        "        x = self.conv(x)\n"
        "        x = self.relu(x)\n"
        "        return x\n"
        "\n\n"
        "def build():\n"
        "    return Net()\n"
    )


def test_operators_have_no_more_parentheses_than_they_need() -> None:
    f = Function("forward", [Parameter("x"), Parameter("y", (2,))])
    x, y = f.inputs
    total = f.call_function("operator:add", x, f.call_function("operator:mul", y, -1))
    power = f.call_function("operator:pow", f.call_function("operator:neg", total), 2)
    item = f.call_function("operator:getitem", power, (..., slice(None, -1), None))
    shape = f.call_function("builtins:getattr", item, "shape")
    f.result = (f.call_method("view", item, f.call_function("operator:getitem", shape, 0), -1), x)
    assert body(f) == (
        "y = ((-(x + y * -1)) ** 2)[..., :-1, None]\nreturn y.view(y.shape[0], -1), x"
    )


def test_effects_keep_their_order() -> None:
    f = Function("forward", [Parameter("x")])
    (x,) = f.inputs
    before = f.call_method("sum", x)
    f.create("call_method", "add_", (x, 1), outputs=())
    f.result = f.call_function("operator:add", f.call_method("sum", x), before)
    assert body(f) == "y = x.sum()\nx.add_(1)\nreturn x.sum() + y"


def branch(f: Function, condition: Value, *names: str) -> Any:
    node = f.create("if", "", (condition,), outputs=names)
    return node, node.add_block(), node.add_block()


def test_an_if_in_the_last_place_returns_early() -> None:
    f = chain("a")
    node, then, other = branch(f, f.call_method("is_floating_point", f.result), "")
    with f.inserting_into(then):
        wide = f.create("call_module", "b", (f.result,), outputs=("wide",)).output
        then.results = (f.call_module("b", wide),)
    other.results = (f.result,)
    f.result = node.output
    assert body(f, a=linear(), b=linear()) == (
        "x = self.a(x)\nif x.is_floating_point():\n    wide = self.b(x)\n    return self.b(wide)\n"
        "return x"
    )


def test_an_if_keeps_the_names_it_changes() -> None:
    f = Function("forward", [Parameter("x"), Parameter("flag", (True,))])
    x, flag = f.inputs
    node, then, other = branch(f, flag, "x")
    with f.inserting_into(then):
        then.results = (f.create("call_module", "a", (x,), outputs=("x",)).output,)
    other.results = (x,)
    f.result = f.call_function("torch:relu", node.output)
    assert body(f, a=linear()) == "if flag:\n    x = self.a(x)\nreturn torch.relu(x)"


def test_choices_between_expressions_are_conditional_expressions() -> None:
    f = Function("forward", [Parameter("x"), Parameter("y")])
    x, y = f.inputs
    both, then, other = branch(f, f.call_function("operator:is_not", y, None), "")
    with f.inserting_into(then):
        then.results = (f.call_function("operator:gt", f.call_method("dim", y), 1),)
    other.results = (False,)
    size, left, right = branch(f, both.output, "size")
    left.results, right.results = (1,), (2,)
    f.result = f.call_function("operator:mul", x, size.output)
    assert body(f) == "size = 1 if y is not None and y.dim() > 1 else 2\nreturn x * size"


def test_a_check_is_an_if_that_raises() -> None:
    f = Function("forward", [Parameter("x")])
    (x,) = f.inputs
    _, _, other = branch(f, f.call_function("operator:eq", f.call_method("dim", x), 4))
    with f.inserting_into(other):
        f.create("raise", "builtins:ValueError", ('expected "4D"',), outputs=())
    f.result = x
    assert body(f) == ("if not x.dim() == 4:\n    raise ValueError('expected \"4D\"')\nreturn x")


def test_chains_of_conditions_are_elifs() -> None:
    f = Function("forward", [Parameter("x"), Parameter("n")])
    x, n = f.inputs
    first, then, other = branch(f, f.call_function("operator:eq", n, 1), "x")
    with f.inserting_into(then):
        then.results = (f.create("call_module", "a", (x,), outputs=("x",)).output,)
    with f.inserting_into(other):
        second, inner, last = branch(f, f.call_function("operator:eq", n, 2), "x")
        with f.inserting_into(inner):
            inner.results = (f.create("call_module", "b", (x,), outputs=("x",)).output,)
        last.results = (x,)
        other.results = (second.output,)
    f.result = f.call_method("relu", first.output)
    assert body(f, a=linear(), b=linear()) == (
        "if n == 1:\n    x = self.a(x)\nelif n == 2:\n    x = self.b(x)\nreturn x.relu()"
    )


def test_a_loop_that_runs_through_is_a_for() -> None:
    f = Function("forward", [Parameter("x")])
    loop = f.create("loop", "", (3, True, f.inputs[0]), outputs=("x",))
    inner = loop.add_block()
    inner.add_input("i")
    x = inner.add_input("x")
    with f.inserting_into(inner):
        inner.results = (True, f.create("call_module", "a", (x,), outputs=("x",)).output)
    f.result = loop.output
    assert body(f, a=linear()) == "for _ in range(3):\n    x = self.a(x)\nreturn x"


def test_a_loop_with_one_condition_is_a_while() -> None:
    f = Function("forward", [Parameter("x"), Parameter("n")])
    x, n = f.inputs
    loop = f.create("loop", "", (None, f.call_function("operator:lt", 0, n), x, 0),
                    outputs=("x", "i"))  # fmt: skip
    inner = loop.add_block()
    inner.add_input("")
    x, i = inner.add_input("x"), inner.add_input("i")
    with f.inserting_into(inner):
        x = f.create("call_module", "a", (x,), outputs=("x",)).output
        i = f.create("call_function", "operator:add", (i, 1), outputs=("i",)).output
        inner.results = (f.call_function("operator:lt", i, n), x, i)
    f.result = loop.outputs[0]
    assert body(f, a=linear()) == (
        "i = 0\nwhile i < n:\n    x = self.a(x)\n    i = i + 1\nreturn x"
    )
    inner.results = (True, *inner.results[1:])
    loop.args = (5, *loop.args[1:])
    assert body(f, a=linear()) == (
        "if 0 < n:\n    for _ in range(5):\n        x = self.a(x)\nreturn x"
    )


def test_a_with_holds_what_runs_inside() -> None:
    f = Function("forward", [Parameter("x")])
    node = f.create("with", "", (f.call_function("torch:no_grad"),), outputs=("x",))
    block = node.add_block()
    with f.inserting_into(block):
        made = f.create("call_module", "a", f.inputs, outputs=("x",)).output
    block.results = (made,)
    f.result = node.output
    assert body(f, a=linear()) == "with torch.no_grad():\n    x = self.a(x)\nreturn x"


def test_units_that_differ_in_literals_share_a_class() -> None:
    blocks = []
    for inputs, outputs, stride in ((8, 8, 1), (8, 16, 2), (16, 16, 1)):
        kwargs = {"stride": stride} if stride > 1 else {}
        block = unit("Block", conv=Unit.of("torch.nn:Conv2d", inputs, outputs, 3, **kwargs),
                     norm=Unit.of("torch.nn:BatchNorm2d", outputs))  # fmt: skip
        block.define(chain("conv", "norm"))
        blocks.append(block)
    layers = Unit("graph", Ref("torch.nn:Sequential"))
    layers.children.update({str(place): block for place, block in enumerate(blocks)})
    source = generate(net(chain("layers"), layers=layers))
    assert "def __init__(self, in_channels: int, out_channels: int, stride: int = 1):" in source
    assert "nn.Conv2d(in_channels, out_channels, 3, stride=stride)" in source
    assert "nn.Sequential(Block(8, 8), Block(8, 16, stride=2), Block(16, 16))" in source
    assert source.count("class Block") == 1
    assert [*load(source).state_dict()][:2] == ["layers.0.conv.weight", "layers.0.conv.bias"]


def test_units_with_other_functions_get_classes_with_numbers() -> None:
    one, two = unit("Block", a=linear()), unit("Block", a=linear())
    one.define(chain("a"))
    two.define(chain("a", "a"))
    source = generate(net(chain("one", "two"), one=one, two=two))
    assert "self.one = Block()" in source
    assert "self.two = Block2()" in source


def test_children_that_differ_as_a_whole_are_given_to_the_constructor() -> None:
    cells = []
    for op in (linear(), Unit.of("torch.nn:Identity")):
        cell = unit("Cell", op=op)
        cell.define(chain("op"))
        cells.append(cell)
    source = generate(net(chain("a", "b"), a=cells[0], b=cells[1]))
    assert "def __init__(self, op: nn.Module):" in source
    assert "self.a = Cell(nn.Linear(8, 8))" in source
    assert source.count("class Cell") == 1


def test_equal_modules_given_to_a_constructor_stay_two() -> None:
    cells = []
    for op in (8, 4):
        cell = unit("Cell", a=unit("Op", x=linear(op, op)), b=unit("Op", x=linear(op, op)))
        for inner in cell.children.values():
            assert inner is not None
            inner.define(chain(*["x"] * op))
        cell.define(chain("a", "b"))
        cells.append(cell)
    model = load(generate(net(chain("one", "two"), one=cells[0], two=cells[1])))
    assert model.one.a is not model.one.b
    assert len([*model.parameters()]) == 8


def test_shared_modules_and_tied_parameters_stay_so() -> None:
    shared = linear()
    inner = Unit("graph", Ref("torch.nn:Sequential"))
    inner.children.update({"0": linear(), "1": shared})
    graph = net(chain("a", "inner", "c", "d"), a=shared, inner=inner, c=linear(), d=shared)
    graph.ties = [("c.weight", "a.weight")]
    model = load(generate(graph))
    assert model.inner[1] is model.a is model.d
    assert model.c.weight is model.a.weight
    assert [*model.state_dict()] == [
        *("a.weight", "a.bias", "inner.0.weight", "inner.0.bias", "inner.1.weight", "inner.1.bias"),
        *("c.weight", "c.bias", "d.weight", "d.bias"),
    ]


def test_a_module_shared_far_away_is_set_where_both_are_known() -> None:
    shared = linear()
    left, right = unit("Left", x=shared, y=linear()), unit("Right", x=shared, y=linear())
    left.define(chain("x", "y"))
    right.define(chain("x", "y"))
    model = load(generate(net(chain("left", "right"), left=left, right=right)))
    assert model.left.x is model.right.x
    assert [*model.right.state_dict()] == ["x.weight", "x.bias", "y.weight", "y.bias"]


def test_first_values_become_the_loop_they_were() -> None:
    layers = Unit("graph", Ref("torch.nn:Sequential"))
    for place in range(3):
        layers.children[str(2 * place)] = linear(bias=place == 1) if place == 1 else linear()
        layers.children[str(2 * place + 1)] = Unit.of("torch.nn:BatchNorm1d", 8)
    graph = net(chain("layers"), layers=layers)
    for layer in layers.children.values():
        assert layer is not None
        name = "xavier_uniform_" if layer.name == "Linear" else "ones_"
        graph.root.starts.append(Start(layer, "weight", f"torch.nn.init:{name}"))
    assert (
        "        for module in self.modules():\n"
        "            if isinstance(module, nn.Linear):\n"
        "                nn.init.xavier_uniform_(module.weight)\n"
        "            elif isinstance(module, nn.BatchNorm1d):\n"
        "                nn.init.ones_(module.weight)\n"
    ) in generate(graph)
    del graph.root.starts[0]
    source = generate(graph)
    assert "modules()" not in source
    assert "nn.init.xavier_uniform_(self.layers[2].weight)" in source


def test_weights_buffers_attributes_and_edits_are_made() -> None:
    root = unit(conv=Unit.of("torch.nn:MaxPool2d", 2))
    root.parameters["scale"] = Weight((4,), start=Call("torch:full", ((4,), 1e-06)))
    root.parameters["none"] = None
    root.parameters["frozen"] = Weight((2, 3), dtype="float64", requires_grad=False)
    root.buffers["mask"] = Weight((2,), dtype="bool", persistent=False)
    root.attributes.update(dtype=Ref("torch:float32"), eps=float("inf"), z=1 + 2j, e=..., n=("a",))
    root.edits.append(Edit.at(root, "conv", "ceil_mode", True))
    root.define(chain("conv"))
    model = load(generate(Graph(root)))
    assert torch.equal(model.scale.detach(), torch.full((4,), 1e-6))
    assert model.none is None
    assert (model.frozen.dtype, model.frozen.requires_grad) == (torch.float64, False)
    assert [*model.state_dict()] == ["scale", "frozen"]
    assert model.mask.dtype == torch.bool
    assert (model.dtype, model.eps, model.z, model.e) == (torch.float32, float("inf"), 1 + 2j, ...)
    assert model.n == ("a",)
    assert model.conv.ceil_mode is True


def test_stored_tensors_are_read_from_the_file_beside() -> None:
    root = unit()
    root.buffers["table"] = Weight((2,), start=Stored("c0"))
    graph = Graph(root)
    graph.tensors["c0"] = torch.ones(2)
    source = generate(graph)
    assert 'CONSTANTS = load_file(Path(__file__).with_name("constants.safetensors"))' in source
    assert 'self.register_buffer("table", CONSTANTS["c0"])' in source


def test_repeated_children_are_a_comprehension() -> None:
    layers = Unit("graph", Ref("torch.nn:ModuleList"))
    layers.children.update({str(place): linear() for place in range(4)})
    source = generate(net(chain("layers.0", "layers.3"), layers=layers))
    assert "nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])" in source
    assert "self.layers[3](x)" in source


def test_unchanged_units_are_imported_and_changed_ones_written_out() -> None:
    def encoder() -> Unit:
        target = "torch.nn.modules.transformer:TransformerEncoderLayer"
        made = Unit("graph", Ref(target), Call(target, (8, 2), {"dim_feedforward": 16}))
        made.children["linear1"] = linear(8, 16)
        return made

    source = generate(net(chain("a"), a=encoder()))
    assert "self.a = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16)" in source
    changed = encoder()
    changed.children["linear1"] = linear(8, 16)
    changed.define(chain("linear1"))
    source = generate(net(chain("a"), a=changed))
    assert "class TransformerEncoderLayer(nn.Module):" in source


def test_names_that_clash_get_an_alias() -> None:
    f = Function("forward", [Parameter("F")])
    made = f.create("call_function", "torch.nn.functional:relu", f.inputs, outputs=("torch",))
    f.result = f.call_function("torch:sum", made.output)
    model = load(generate(net(f)))
    assert model(torch.tensor([1.0, -1.0])) == 1


def test_hooks_wrap_and_odd_names_are_set() -> None:
    layer = linear()
    layer.hooked.append(Call("torch.nn.utils.parametrizations:weight_norm"))
    root = unit()
    root.children.update({"0": layer, "class": linear()})
    root.define(chain("0", "class"))
    model = load(generate(Graph(root)))
    assert model(torch.ones(8)).shape == (8,)
    assert "0.parametrizations.weight.original0" in model.state_dict()


def test_what_is_left_open_is_refused_by_its_path_and_label() -> None:
    choice = Unit("symbolic", Ref("runner.nn:LayerChoice"))
    choice.facts["labels"] = ("kind",)
    with pytest.raises(GraphError, match=r"a: the LayerChoice \('kind'\) is still symbolic"):
        generate(net(chain("a"), a=choice))


def test_a_choice_left_open_in_an_argument_is_refused_by_its_path_and_label() -> None:
    width = Variable(Categorical("width", (4, 8)), 4, [4, 8])
    with pytest.raises(GraphError, match=r"^a \(Linear\): 'width' is still symbolic"):
        generate(net(chain("a"), a=linear((1, width))))  # type: ignore[arg-type]
    f = Function("forward", [Parameter("x")])
    f.result = f.call_function("operator:mul", f.inputs[0], width)
    with pytest.raises(GraphError, match=r"^the model \(Net\), forward: 'width' is still symbolic"):
        generate(net(f))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12), st.text(min_size=1, max_size=12))
def test_hostile_strings_are_only_ever_literals(text: str, name: str) -> None:
    hostile = f"{text}\"'''\n\u202e__import__('os')\\"
    f = Function("forward", [Parameter("x", (hostile,))])
    f.result = f.call_function("builtins:getattr", f.inputs[0], hostile)
    child = f"{name.replace('.', '')}'\"\n"
    root = unit(hostile, **{child: Unit.of("torch.nn:Identity")})
    root.attributes[hostile] = {hostile: [hostile]}
    root.buffers["b"] = Weight((), start=Call("torch:tensor", (len(hostile),)))
    root.define(f)
    root.edits.append(Edit.at(root, child, hostile, hostile))
    model = load(generate(Graph(root)))
    assert getattr(model, hostile) == {hostile: [hostile]}
    assert getattr(model._modules[child], hostile) == hostile
    assert "\u202e" not in generate(Graph(root))


@pytest.mark.parametrize("target", ["os;system:x", "a b:c", "builtins:eval", "x", "torch:a.1", ":"])
def test_what_is_no_target_is_refused(target: str) -> None:
    f = Function("forward", [Parameter("x")])
    f.result = f.call_function(target, f.inputs[0]) if target != ":" else None
    root = unit(a=Unit("basic", Ref(target), Call(target))) if target == ":" else unit()
    root.define(f)
    with pytest.raises(GraphError):
        generate(Graph(root))


@pytest.mark.parametrize(
    "source",
    ["print(1)", "x = 1", "import os\nos.system('x')", "def f():\n    return (lambda: 1)()",
     "def f(x):\n    return x.__class__", "def f():\n    return __import__('os')", "def f(:",
     "class A:\n    async def f(self): pass", "def f():\n    global x"],
)  # fmt: skip
def test_source_that_the_generator_does_not_write_is_refused(source: str) -> None:
    with pytest.raises(GraphError):
        verify(source)


def test_editing_a_copy_changes_its_source_and_not_that_of_the_original() -> None:
    graph = net(chain("a"), a=linear())
    before = generate(graph)
    copy = graph.copy()
    assert generate(copy) == before
    forward = copy.root.forward
    forward.result = forward.call_function("torch:relu", forward.result)
    assert "torch.relu" in generate(copy)
    forward.result = forward.call_function("torch:tanh", forward.result)
    assert "torch.tanh" in generate(copy)
    assert generate(graph) == before


def test_generating_leaves_nothing_of_a_copy_behind() -> None:
    graph = net(chain("a"), a=linear())
    copy = graph.copy()
    forward = copy.root.forward
    again = copy.copy()  # from here on the function is kept, since two graphs share it
    generate(again)
    gone = weakref.ref(forward)
    del copy, again, forward
    gc.collect()
    assert gone() is None


def test_a_container_with_a_name_of_its_own_keeps_its_base() -> None:
    made = Unit("graph", Ref("torch.nn:Sequential"))
    made.children.update(conv=linear(), act=Unit.of("torch.nn:ReLU"))
    model = load(generate(Graph(made)))
    assert isinstance(model, nn.Sequential)
    assert [name for name, _ in model.named_children()] == ["conv", "act"]
