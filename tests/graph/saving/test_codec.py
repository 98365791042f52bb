"""Graphs written as JSON come back as they were."""

import json
import math

import handmade
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import nn
from runner.choice import Categorical, Numeric, Subset
from runner.errors import GraphError
from runner.graph.graph import Graph, Note
from runner.graph.lint import lint
from runner.graph.node import Block, Function, Node, Parameter, Spec, Value
from runner.graph.running.interpreter import Interpreter
from runner.graph.running.shapes import propagate
from runner.graph.saving.codec import from_json, to_json
from runner.graph.unit import Call, Ref, Start, Stored, Unit, Weight
from runner.graph.widths.source import Source
from runner.graph.writing.generate import generate
from runner.nn.expression import Computed, Expression, Variable

WIDTH = Variable(Categorical("width", (8, 16)), 16, [8, 16])
RATE = Variable(Numeric("rate", 0.0, 0.5), 0.25)
SIZE = Variable(Categorical("size", ([3, 3], [5, 5])), [5, 5], [(3, 3), (5, 5)])


def there_and_back(graph: Graph) -> Graph:
    return from_json(json.loads(json.dumps(to_json(graph))), graph.tensors, trust=["m"])


def shown(thing, names: dict) -> object:
    """Everything there is in a thing, with objects by the order in which they are met."""
    kind = type(thing)
    if kind in (Unit, Function, Node, Block, Value, Variable, Computed):
        if id(thing) in names:
            return f"{kind.__name__} {names[id(thing)][0]}"
        names[id(thing)] = (len(names), thing)
    if kind is Value:
        return ["value", thing.name, thing.spec, [shown(user, names) for user in thing.users]]
    if kind is Node:
        return [thing.op, thing.target, thing.line,
                *(shown(part, names) for part in (thing.args, dict(thing.kwargs), thing.blocks,
                                                  thing.outputs))]  # fmt: skip
    if kind is Block:
        return ["block", shown(thing.inputs, names), shown(thing.nodes, names)]
    if kind is Function:
        return [thing.name, shown(thing.parameters, names), shown(thing.block, names)]
    if kind is Unit:
        fields = {name: v for name, v in vars(thing).items() if name != "_own"}
        return [kind.__name__, shown(fields, names)]
    if kind is Graph:
        fields = {name: v for name, v in vars(thing).items() if name != "tensors"}
        return [shown(fields, names), {n: id(t) for n, t in thing.tensors.items()}]
    if kind is Variable:
        return [thing.choice, thing.start, thing.options]
    if kind is Computed:
        return [thing.function, shown(thing.args, names)]
    if kind in (Call, Start, Weight, Parameter):
        fields = {name: getattr(thing, name) for name in thing.__dataclass_fields__}
        return [kind.__name__, shown(fields, names)]
    if kind in (list, tuple):
        return [kind.__name__, *(shown(item, names) for item in thing)]
    if kind is slice:
        return [kind.__name__, *(shown(p, names) for p in (thing.start, thing.stop, thing.step))]
    if kind is dict:
        return [kind.__name__, *((shown(k, names), shown(v, names)) for k, v in thing.items())]
    return [kind.__name__, str(thing) if kind in (float, complex) else thing]


def assert_same(one: Graph, other: Graph) -> None:
    assert shown(one, {}) == shown(other, {})


def rich_graph() -> Graph:
    graph = handmade.net_graph()
    propagate(graph, Spec((2, 3, 8, 8)))
    root = graph.root
    root.set_child("shared", root.children["stem"])
    root.set_child("open", Unit("open", Ref("runner.nn:LayerChoice")))
    root.children["open"].facts = {
        "choice": Categorical("op", (0, 1)), "labels": ("op",), "depth": WIDTH // 2,
        "inputs": Subset("inputs", 3, None), "rate": Numeric("r", 1, 9, step=2),
    }  # fmt: skip
    root.set_child("wide", Unit.of("torch.nn:Conv2d", 3, WIDTH, SIZE, padding=(SIZE[0] // 2, 1)))
    root.attributes.update(inf=math.inf, nan=math.nan, z=1 - 2j, dots=..., d={1: [2, (3,)]})
    root.attributes.update(dtype=Ref("torch:float32"), rate=RATE, again=RATE * 2, text="a\ud800\n")
    root.parameters["w"] = Weight((WIDTH, 3), "float64", False, start=Stored("c0"))
    root.edits = [("wide", "bias", None), ("wide", "weight", Weight((1,)))]
    root.starts = [Start(root.children["stem"], "weight", "torch.nn.init:ones_", (1,), {"k": 2})]
    root.hooked = [Call("torch.nn.utils:spectral_norm", (), {"n": 1})]
    helper = Function("helper", [Parameter("x", ((1, None),), "int")])
    helper.result = helper.call_function("operator:getitem", helper.inputs[0], slice(None, -1, 2))
    graph.functions["helper"] = helper
    graph.ties = [("shared.weight", "stem.weight")]
    graph.notes = [Note("stem", "Conv2d", "Kept.")]
    graph.history = ["Activation: relu"]
    graph.tensors = {"c0": torch.ones(3)}
    return graph


def test_everything_in_a_graph_comes_back():
    graph = rich_graph()
    twin = there_and_back(graph)
    assert_same(graph, twin)
    assert to_json(twin) == to_json(graph)
    assert twin.root.children["shared"] is twin.root.children["stem"]
    assert twin.root.attributes["again"].args[0] is twin.root.attributes["rate"]


def test_what_mutators_know_of_a_graph_comes_back():
    graph = rich_graph()
    graph.example = (3, 8, 8)
    source = Source("layer", "a.b", "", ("out_channels",), 16)
    graph.widths = {"width/a.b": [source, Source("number", "a", "forward", (3, 1, 0), 4)]}
    for path, unit in graph.root.walk():
        unit.origin, unit.inserted = path, path.endswith("b")
    back = there_and_back(graph)
    assert (back.example, back.widths) == (graph.example, graph.widths)
    assert [(unit.origin, unit.inserted) for _, unit in back.root.walk()] == [
        (unit.origin, unit.inserted) for _, unit in graph.root.walk()
    ]


def test_what_comes_back_runs_and_lints():
    graph = handmade.net_graph()
    twin = there_and_back(graph)
    lint(twin, decided=True)
    torch.manual_seed(0)
    model = handmade.Net().eval()
    interpreter = Interpreter(twin).load_state_dict(model.state_dict())
    interpreter.model.eval()
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(interpreter(x), model(x))


def test_functions_that_units_share_stay_shared_until_one_is_edited():
    graph = handmade.net_graph()
    shared = graph.unit("layer1.0").functions["forward"]
    graph.unit("layer1.1").functions["forward"] = shared
    twin = there_and_back(graph)
    one, other = twin.unit("layer1.0"), twin.unit("layer1.1")
    assert one.functions["forward"] is other.functions["forward"]
    one.forward.call_function("torch:abs", one.forward.inputs[0])
    assert one.functions["forward"] is not other.functions["forward"]


def test_every_kind_of_expression_computes_the_same():
    values = [
        WIDTH + 1, 2**WIDTH, -WIDTH, abs(WIDTH), round(RATE, 1), SIZE[1], WIDTH // 2 > 3,
        nn.ValueChoice.max(WIDTH, 9), nn.ValueChoice.condition(WIDTH > 8, 1.5, 2),
        nn.ValueChoice.to_int(RATE * 10), math.floor(RATE * 7), nn.ValueChoice.to_float(WIDTH),
    ]  # fmt: skip
    graph = Graph(Unit.of("torch.nn:Linear", *values))
    twin = there_and_back(graph)
    assert_same(graph, twin)
    for before, after in zip(values, twin.root.call.args, strict=True):
        assert isinstance(after, Expression)
        assert after.default == before.default
        assert type(after.default) is type(before.default)
        assert after.same_as(before)


@pytest.mark.parametrize("thing", [object(), {1}, torch.ones(1), torch.float32, torch.Size([1]),
                                   lambda: 0, int])  # fmt: skip
def test_an_object_without_a_form_is_named_with_its_place(thing):
    graph = handmade.net_graph()
    graph.unit("layer1.0").attributes["odd"] = [(thing,)]
    with pytest.raises(GraphError, match=r"graph Block>: the attribute 'odd': .*no JSON form"):
        to_json(graph)


def test_an_expression_with_an_unknown_function_is_refused_both_ways():
    graph = Graph(Unit.of("torch.nn:Linear", Computed(json.dumps, (WIDTH,))))
    with pytest.raises(GraphError, match="dumps"):
        to_json(graph)
    data = to_json(Graph(Unit.of("torch.nn:Linear", WIDTH + 1)))
    for target in ("os:system", "builtins:eval", "runner.nn.value:Any"):
        data["expressions"][0][0] = target
        with pytest.raises(GraphError, match="cannot compute"):
            from_json(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(version=2),
        lambda d: d.pop("units"),
        lambda d: d.update(root=99),
        lambda d: d["units"][0].update(grade="other"),
        lambda d: d["units"][0]["attributes"].update(x={"value": 0}),
        lambda d: d["units"][0]["attributes"].update(x={"what": 0}),
        lambda d: d["units"][0]["attributes"].update(x={"ref": 0, "call": 1}),
        lambda d: d["bodies"][0]["block"]["nodes"][0].pop(),
        lambda d: d["bodies"][0]["block"]["inputs"].pop(),
        lambda d: d.update(tensors=["c0"]),
    ],
)
def test_what_is_no_graph_is_refused(change):
    data = to_json(handmade.net_graph())
    change(data)
    with pytest.raises(GraphError):
        from_json(data)


def test_tensors_that_are_missing_are_named_with_what_to_write():
    graph = rich_graph()
    with pytest.raises(GraphError, match=r"'c0': hand them over as .*tensors=graph.tensors"):
        from_json(to_json(graph))


# What a graph from a file may name


def calling(target: str, *args: object) -> dict:
    root = Unit("graph", Ref("handmade:Net"))
    forward = Function("forward", [Parameter("x")])
    forward.result = forward.call_function(target, *args)
    root.define(forward)
    return to_json(Graph(root))


@pytest.mark.parametrize(
    "target",
    ["os:system", "subprocess:run", "importlib:import_module", "builtins:eval", "builtins:open",
     "builtins:__import__", "torch:load", "torch:hub.load", "torch:compile", "torch:os.system",
     "torch.serialization:load", "torch.jit:load", "torch.utils.cpp_extension:load",
     "torch:ops.load_library", "torch.nn.functional:torch.load", "operator:attrgetter",
     "handmade:torch.load", "pickle:loads"],
)  # fmt: skip
def test_a_graph_from_a_file_may_not_name_what_does_more_than_compute(target):
    with pytest.raises(GraphError, match=r"not on the list.*trust=\["):
        from_json(calling(target))
    with pytest.raises(GraphError, match="not on the list"):
        from_json(to_json(Graph(Unit.of("torch.nn:Linear", Call(target)))))
    with pytest.raises(GraphError, match="not on the list"):
        from_json(to_json(Graph(Unit.of("torch.nn:Linear", Ref(target)))))
    with pytest.raises(GraphError, match="not on the list"):
        from_json(to_json(Graph(Unit("basic", Ref("torch.nn:Linear"), Call(target)))))


@pytest.mark.parametrize(
    "target",
    ["torch:relu", "torch:Tensor.add", "torch:float32", "torch:no_grad", "torch:ops.aten.relu",
     "torch.nn.functional:max_pool2d", "torch.nn.functional:scaled_dot_product_attention",
     "torch.fft:fft", "torch.linalg:norm", "torch.nn.init:normal_", "operator:add", "math:sqrt",
     "torch.jit:is_scripting", "builtins:len", "builtins:ValueError", "handmade:conv"],
)  # fmt: skip
def test_a_graph_from_a_file_may_name_what_computes_and_what_its_classes_stand_beside(target):
    from_json(calling(target))


def test_a_package_can_be_trusted():
    from_json(calling("json:dumps"), trust=["json"])
    with pytest.raises(GraphError, match="not on the list"):
        from_json(calling("jsonschema:validate"), trust=["json"])


@pytest.mark.parametrize("name", ["__globals__", "__class__", 3])
def test_a_graph_from_a_file_may_not_ask_for_any_attribute(name):
    with pytest.raises(GraphError, match="may not ask for the attribute"):
        from_json(calling("builtins:getattr", Ref("torch:relu"), name))


# Damaged files

WILD = st.sampled_from([
    None, True, 0, -1, 1, 99, 1.5, "", "x", "forward", "a.b", "torch:relu", "os:system", "self",
    "__init__", [], {}, [1], {"a": 1}, {"unit": 0}, {"ref": "torch:float32"}, {"value": 0},
    {"tuple": [1, 2]}, {"call": ["torch:ones", [1], {}]}, {"stored": "B"}, "graph", "basic", "open",
    "shell", "output", "if", "loop", "call_module",
])  # fmt: skip


def spots(data, path=()):
    """The paths of everything in some JSON."""
    yield path
    inner = [*data.items()] if isinstance(data, dict) else []
    inner = [*enumerate(data)] if isinstance(data, list) else inner
    for key, item in inner:
        yield from spots(item, (*path, key))


SOUND = json.dumps(to_json(handmade.net_graph()))
SPOTS = [path for path in spots(json.loads(SOUND)) if path]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SPOTS), WILD | st.just("removed") | st.just("doubled"))
def test_a_damaged_graph_is_refused_in_words_or_is_a_graph(path, wild):
    data = json.loads(SOUND)
    *above, last = path
    here = data
    for key in above:
        here = here[key]
    if wild == "removed":
        del here[last]
    elif wild == "doubled" and isinstance(here, list):
        here.insert(last, here[last])
    else:
        here[last] = wild
    try:
        graph = from_json(data)
        lint(graph)
        str(graph)
        generate(graph)
    except GraphError:
        pass


NAMES = st.sampled_from("abcxyz")
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(),
    st.just(...), NAMES.map(lambda n: Ref(f"m:{n}")), NAMES.map(Stored),
    st.integers(0, 3).map([WIDTH, RATE, WIDTH * 2 + RATE, SIZE[0]].__getitem__),
)  # fmt: skip


def nested(leaves):
    def more(inner):
        return st.one_of(
            st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.integers() | st.text(), inner, max_size=3),
            st.tuples(inner, inner).map(lambda p: slice(*p)),
        )  # fmt: skip

    return st.recursive(leaves, more, max_leaves=6)


@st.composite
def functions(draw):
    """Functions with values used in nested arguments, in blocks in blocks."""
    function = Function("forward", [Parameter("x"), Parameter("y", (draw(PLAIN),))])

    def fill(block: Block, known: list[Value], depth: int) -> None:
        known = [*known, *block.inputs]
        with function.inserting_into(block):
            for _ in range(draw(st.integers(0, 3))):
                arguments = nested(st.one_of(PLAIN, st.sampled_from(known)))
                op = draw(st.sampled_from(["call_function", "list", "if"]))
                args = [draw(arguments) for _ in range(draw(st.integers(1, 2)))]
                kwargs = draw(st.dictionaries(NAMES, arguments, max_size=2))
                outputs = draw(st.lists(NAMES | st.just(""), max_size=2))
                line = draw(st.sampled_from(["", "net.py:3"]))
                node = function.create(op, "m:f", args, kwargs, outputs=outputs, line=line)
                if op == "if" and depth:
                    for _ in range(2):
                        inner = node.add_block()
                        inner.add_input("i")
                        fill(inner, known, depth - 1)
                for output in node.outputs:
                    output.spec = draw(st.none() | st.just(Spec((1, 2))))
                known += node.outputs
            block.results = (draw(nested(st.one_of(PLAIN, st.sampled_from(known)))),)

    fill(function.block, [], 2)
    return function


@st.composite
def graphs(draw):
    units: list[Unit] = []
    bodies: list[Function] = []
    for _ in range(draw(st.integers(1, 5))):
        unit = Unit(draw(st.sampled_from(["graph", "shell", "basic"])), Ref("m:Net"))
        args = draw(st.lists(nested(PLAIN), max_size=2))
        unit.call = draw(st.none() | st.just(Call("m:Net", tuple(args), {"k": draw(PLAIN)})))
        unit.attributes = draw(st.dictionaries(NAMES, nested(PLAIN), max_size=2))
        if draw(st.booleans()):
            bodies.append(draw(functions()))
        if bodies:
            unit.functions["forward"] = draw(st.sampled_from(bodies))
        for name in sorted(draw(st.sets(NAMES, max_size=3))):
            unit.children[name] = draw(st.sampled_from([None, *units]))
        unit.changed = draw(st.booleans())
        units.append(unit)
    return Graph(units[-1])


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_any_graph_comes_back(graph):
    assert_same(graph, there_and_back(graph))
