"""Units and graphs: looking changes nothing, editing keeps what belongs together together."""

import handmade
import mutable
import pytest
import torch
from torch import nn

from runner.errors import GraphError
from runner.graph import convert, generate, lint, load_source, recording
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Edit, Ref, Start, Stored, Unit, held


@pytest.fixture
def graph() -> Graph:
    with recording():
        model = mutable.Initialized()
    return convert(model)


@pytest.fixture
def handmade_graph() -> Graph:
    """A graph whose units and functions are as those of a converted model."""
    graph = handmade.net_graph()
    for _, unit in graph.root.walk():
        unit.share()
        unit.changed = unit.mutated = False
    return graph


def built(graph: Graph) -> nn.Module:
    lint(graph, decided=True)
    return load_source(generate(graph), graph.tensors).build()


def linear(*args: int, **kwargs: bool) -> Unit:
    return Unit.of("torch.nn:Linear", *args, **kwargs)


# Looking and changing


def test_looking_at_nodes_and_functions_changes_nothing(handmade_graph):
    before = generate(handmade_graph)
    assert handmade_graph.nodes(op="call_module")
    assert handmade_graph.root.forward.nodes
    assert not any(unit.changed or unit.mutated for _, unit in handmade_graph.root.walk())
    assert generate(handmade_graph) == before


def test_a_node_that_was_found_is_the_one_that_is_changed(handmade_graph):
    twin = handmade_graph.copy()
    [(unit, node), *_] = twin.nodes(target="relu", op="call_module")
    assert node in unit.forward.nodes
    assert twin.nodes(target="relu", op="call_module")[0][1] is node
    node.kwargs = {"input": node.args[0]}
    node.args = ()
    assert unit.changed
    assert unit.mutated
    assert not any(other.changed for _, other in handmade_graph.root.walk())


@pytest.mark.parametrize(
    "change",
    [
        lambda f: setattr(f.nodes[0], "target", "conv2"),
        lambda f: setattr(f.nodes[0], "op", "call_method"),
        lambda f: setattr(f.nodes[0], "args", (f.inputs[0], 1)),
        lambda f: setattr(f, "result", None),
        lambda f: f.call_function("torch:abs", f.inputs[0]),
        lambda f: f.block.nodes.insert(0, f.block.nodes.pop(1)),
        lambda f: setattr(f.nodes[0].output, "name", "other"),
        lambda f: f.nodes[0].add_output("more"),
    ],
)
def test_any_change_of_a_function_is_one_of_its_unit(handmade_graph, change):
    unit = handmade_graph.unit("layer1.0")
    change(unit.forward)
    assert unit.changed


def test_a_change_that_is_taken_back_is_none(handmade_graph):
    unit = handmade_graph.unit("layer1.0")
    node = unit.forward.nodes[0]
    args = node.args
    node.args = ()
    assert unit.changed
    node.args = args
    assert not unit.changed


def test_a_function_held_before_a_copy_is_that_of_the_original(handmade_graph):
    forward = handmade_graph.root.forward
    twin = handmade_graph.copy()
    forward.result = None
    assert handmade_graph.root.forward.result is None
    assert twin.root.forward.result is not None
    assert handmade_graph.root.changed
    assert not twin.root.changed


def test_functions_and_tensors_of_a_copy_are_its_own(handmade_graph):
    handmade_graph.functions["helper"] = Function("helper")
    twin = handmade_graph.copy()
    twin.functions["helper"].call_function("torch:rand", 1)
    twin.tensors["t"] = torch.ones(1)
    assert not handmade_graph.functions["helper"].nodes
    assert not handmade_graph.tensors


def test_functions_that_were_only_looked_at_are_shared_again(handmade_graph):
    twin = handmade_graph.copy()
    shared = twin.root.functions["forward"]
    assert twin.root.forward is not shared
    twin.unit("layer1.0").forward.result = None
    twin.tidy()
    assert twin.root.functions["forward"] is shared
    assert not twin.root.owns("forward")
    assert twin.unit("layer1.0").forward.result is None
    assert twin.unit("layer1.0").changed


# Replacing


def test_what_filled_a_unit_that_is_replaced_is_forgotten(graph):
    assert any(start.unit is graph.unit("body.0") for start in graph.root.starts)
    graph.replace("body.0", linear(4, 4))
    below = {unit for _, unit in graph.root.walk()}
    assert all(start.units <= below for start in graph.root.starts)
    assert any(start.unit is graph.unit("body.2") for start in graph.root.starts)
    model = built(graph)
    assert not torch.equal(model.body[0].bias, torch.zeros(4))
    assert torch.equal(model.body[2].bias, torch.zeros(4))


def test_what_filled_a_unit_stays_with_it_where_it_is_wrapped(graph):
    old = graph.unit("body.0")
    graph.replace("body.0", Unit.of("torch.nn:Sequential", Unit.of("torch.nn:Dropout", 0.1), old))
    assert graph.unit("body.0.1") is old
    model = built(graph)
    assert torch.equal(model.body[0][1].bias, torch.zeros(4))


def test_units_given_to_a_container_are_found_by_later_queries(graph):
    old = graph.unit("body.0")
    graph.replace("body.0", Unit.of("torch.nn:Sequential", linear(4, 4), old))
    paths = [path for path, _ in graph.units(cls="Linear")]
    assert paths[:2] == ["body.0.0", "body.0.1"]
    named = Unit.of("torch.nn:ModuleDict", {"one": linear(1, 1)})
    listed = Unit.of("torch.nn:ModuleList", [linear(1, 1)])
    assert [*named.children] == ["one"]
    assert [*listed.children] == ["0"]


def test_ties_end_with_a_unit_that_is_replaced(graph):
    assert graph.ties == (("head.weight", "embed.weight"),)
    graph.replace("head", linear(4, 16, bias=False))
    assert graph.ties == ()
    model = built(graph)
    assert model.head.weight is not model.embed.weight


def test_ties_follow_a_unit_that_is_wrapped(graph):
    graph.replace("head", Unit.of("torch.nn:Sequential", graph.unit("head")))
    assert graph.ties == (("head.0.weight", "embed.weight"),)
    model = built(graph)
    assert model.head[0].weight is model.embed.weight


def test_tensors_stay_tied_when_their_owner_is_replaced():
    root = Unit("graph", Ref("net:Net"))
    for name in "abcd":
        root.set_child(name, linear(2, 2))
    graph = Graph(root)
    graph.ties = [(f"{name}.weight", "a.weight") for name in "bcd"]
    graph.replace("a", linear(2, 2))
    assert graph.ties == (("c.weight", "b.weight"), ("d.weight", "b.weight"))


def test_edits_go_with_the_unit_they_are_about():
    root = Unit("graph", Ref("net:Net"))
    root.set_child("pool", Unit.of("torch.nn:MaxPool2d", 2))
    root.set_child("pool2", Unit.of("torch.nn:MaxPool2d", 2))
    root.edits = [Edit.at(root, name, "ceil_mode", True) for name in ("pool", "pool2")]
    graph = Graph(root)
    graph.replace("pool", Unit.of("torch.nn:Sequential", graph.unit("pool")))
    graph.replace("pool2", Unit.of("torch.nn:Identity"))
    assert root.edits == [Edit(graph.unit("pool.0"), "", "ceil_mode", True)]


def test_a_unit_that_stands_in_another_place_too_is_still_filled():
    root = Unit("graph", Ref("net:Net"))
    shared = linear(2, 2)
    root.set_child("a", shared)
    root.set_child("b", shared)
    root.starts = [Start(shared, "bias", ".zero_")]
    graph = Graph(root)
    graph.replace("a", linear(2, 2))
    assert len(root.starts) == 1
    graph.replace("b", linear(2, 2))
    assert root.starts == []


def test_a_start_that_reads_a_unit_ends_with_it():
    root = Unit("graph", Ref("net:Net"))
    root.set_child("a", linear(2, 2))
    root.set_child("b", linear(2, 2))
    root.starts = [Start(root.at("b"), "bias", ".copy_", (held(root.at("a"), "bias"),))]
    root.set_child("a", linear(2, 2))
    assert root.starts == []


@pytest.mark.parametrize("thing", [nn.Linear(3, 3), "torch.nn:ReLU", nn.ReLU, 3])
def test_what_is_no_unit_cannot_replace_one(graph, thing):
    with pytest.raises(GraphError, match=r"not a Unit. Write Unit.of\('torch.nn:Linear', 8, 2\)"):
        graph.replace("head", thing)


def test_a_unit_cannot_stand_in_itself(graph):
    with pytest.raises(GraphError, match="would contain itself"):
        graph.root.set_child("again", graph.root)
    with pytest.raises(GraphError, match="would contain itself"):
        graph.replace("body.0", graph.unit("body"))


@pytest.mark.parametrize("name", ["forward", "training", "__init__", "_modules", "a.b", "", 3])
def test_names_that_modules_need_are_no_names_of_children(graph, name):
    with pytest.raises(GraphError, match="cannot be the name of a child"):
        graph.root.set_child(name, linear(1, 1))
    if name in ("forward", "training"):
        assert graph.root.add_child(name, linear(1, 1)) == f"{name}2"


# Arguments


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (torch.float32, r"write Ref\('torch:float32'\)"),
        (nn.Linear, r"write Ref\('torch.nn:Linear'\)"),
        (torch.relu, r"write Ref\('torch:relu'\)"),
        (lambda x: x, "top of a module"),
        (b"x", "those are numbers"),
        (torch.ones(2), r"Stored\(name\)"),
        (torch.Size([2]), r"write \(2,\)"),
        (torch.device("cpu"), r"write Call\('torch:device', \('cpu',\)\)"),
        (nn.ReLU(), r"write Unit.of\('torch.nn:ReLU', ...\)"),
    ],
)
def test_an_argument_that_no_source_holds_is_refused_with_what_to_write(thing, text):
    with pytest.raises(GraphError, match=text):
        Unit.of("torch.nn:Linear", 4, 4, dtype=[thing])
    with pytest.raises(GraphError, match=text):
        linear(4, 4).set_argument("dtype", thing)


def test_what_a_source_can_hold_is_taken():
    unit = Unit.of("torch.nn:Linear", 4, 4, dtype=Ref("torch:float64"))
    unit.set_argument("device", (None, [1.5, ...], {"a": slice(1, None)}, Stored("t"), unit))
