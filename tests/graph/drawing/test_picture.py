"""Pictures of models: well-formed, complete, and safe whatever things are called."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import handmade
import pytest

from runner.graph.drawing.caption import kind_of
from runner.graph.drawing.layered import GAP, LayoutNode, Wire, lay_out
from runner.graph.drawing.picture import svg
from runner.graph.drawing.scene import scene_of, size_of
from runner.graph.interpreter.shape_propagation import propagate
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Parameter, Spec
from runner.graph.ir.unit import Ref, Unit
from runner.nn.values.expression import Variable
from runner.space.choice import Categorical

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def hints(picture: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(picture).iter(f"{SVG}title")]


def test_shows_the_layers_of_a_model_with_their_shapes():
    graph = handmade.net_graph()
    propagate(graph, Spec((2, 3, 32, 32)))
    shown = texts(svg(graph))
    assert shown[0] == "Net"
    assert shown.count("BatchNorm2d 8") == 4
    assert "Conv2d 3\u00d73, 8\u219216, /2" in shown
    assert "layer2 \u00b7 Sequential" in shown
    assert "2\u00d716\u00d716\u00d716" in shown
    assert any(hint.startswith("layer1.0.conv1: Conv2d(8, 8, 3") for hint in hints(svg(graph)))


def test_deeper_units_are_boxes():
    graph = handmade.net_graph()
    sizes = [size_of(scene_of(graph, depth)) for depth in (0, 1, 2, 3)]
    assert sizes == sorted({*sizes})
    shown = texts(svg(graph, depth=0))
    assert "10 layers" in shown
    assert "BatchNorm2d 8" not in shown


def test_a_residual_connection_bypasses_the_layers():
    scene = scene_of(Graph(handmade.block_unit(8, 8)), 1)
    add = next(item for item in scene.items if item.kind == "merge")
    assert [source.text for source in add.sources] == ["BatchNorm2d 8", ""]
    assert scene.start in add.sources


def test_changed_units_choices_and_candidates_are_marked():
    graph = handmade.net_graph()
    root = graph.root
    for _, unit in root.walk():
        unit.mutated = False  # as they come from a model
    choice = Unit("symbolic", Ref("runner.nn:LayerChoice"))
    choice.facts = {"choice": Categorical("act", ("relu", "gelu")), "labels": ("act",)}
    choice.set_child("0", Unit.of("torch.nn:ReLU"))
    choice.set_child("1", Unit.of("torch.nn:GELU"))
    root.children["dropout"] = choice
    width = Variable(Categorical("width", (4, 6)), 4, [4, 6])
    root.children["fc"] = Unit.of("torch.nn:Linear", 16, width)
    graph.unit("stem").set_argument("padding", 2)
    picture = svg(graph)
    shown = texts(picture)
    assert "dropout \u00b7 LayerChoice act" in shown
    assert "GELU" in shown
    assert "Linear 16\u2192width" in shown
    assert "width: 4, 6" in shown
    assert picture.count('class="box conv changed"') == 1


HOSTILE = ["<script>alert(1)</script>", "\"'&<>]]>", "a\x00\x1b\ud800\uffff", "x" * 500, "--><!--"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name):
    root = Unit("graph", Ref(f"net:{name}"))
    child = Unit.of(f"net:{name}", name, **{name: name})
    child.facts = {"labels": (name,)}
    root.set_child(name.replace(".", ""), child)
    root.set_child("open", Unit("symbolic", Ref(f"net:{name}")))
    f = Function("forward", [Parameter("x")])
    x = f.create("call_module", name, [f.inputs[0]], line=name).output
    x = f.call_function(f"net:{name}", x)
    f.result = f.call_method(name, x)
    root.define(f)
    picture = svg(Graph(root))
    tree = ElementTree.fromstring(picture.encode())
    assert {element.tag.removeprefix(SVG) for element in tree.iter()} <= {
        "svg", "title", "style", "rect", "text", "g", "path", "defs", "marker",
    }  # fmt: skip
    assert not re.search(r"<script|\son\w+=|javascript:", picture)


def test_conditions_and_loops_are_shown_as_ways():
    graph = handmade.net_graph()
    scene = scene_of(graph, 0)
    assert {item.text for item in scene.items if item.dashed} >= {"flip"}
    assert "on some paths" in texts(svg(graph))


def test_units_without_a_forward_of_their_own_are_shown_too():
    shell = Unit("shell", Ref("net:Shell"))
    shell.set_child("a", Unit.of("torch.nn:ReLU"))
    shell.set_child("gone", None)
    assert "ReLU" in texts(svg(Graph(shell)))
    assert texts(svg(Graph(Unit.of("torch.nn:ReLU"))))[0] == "ReLU"


def test_nothing_overlaps_and_wires_lead_down():
    graph = handmade.net_graph()
    numbers = re.findall(r'class="frame frame[^"]*" x="([\d.-]+)" y="([\d.-]+)"', svg(graph))
    assert len(numbers) >= 6
    spots = [LayoutNode(30.0 + 10 * i, 20.0) for i in range(8)]
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (3, 4), (0, 4), (4, 5), (4, 6), (5, 7), (6, 7)]
    layout = lay_out(spots, [Wire(spots[a], spots[b]) for a, b in edges], 1e9)
    for wire in layout.wires:
        ys = [spot.y for spot in wire.spots]
        assert ys == sorted(ys)
    for one in spots:
        assert one.x >= 0
        assert one.x + one.width <= layout.width + 1
        for other in spots:
            if one is not other and one.row == other.row:
                left, right = sorted((one, other), key=lambda spot: spot.x)
                assert left.x + left.width + GAP <= right.x + 0.01


def test_high_drawings_are_wrapped_into_columns():
    spots = [LayoutNode(40.0, 20.0) for _ in range(40)]
    wires = [Wire(a, b) for a, b in pairwise(spots)]
    layout = lay_out(spots, wires, 300.0)
    assert layout.height <= 330
    assert {spot.column for spot in spots} == set(range(6))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Conv2d", "conv"), ("BatchNorm2d", "norm"), ("LayerNorm", "norm"), ("SiLU", "activation"),
     ("MaxPool2d", "pooling"), ("Linear", "linear"), ("MultiheadAttention", "attention"),
     ("flatten", "other"), ("LSTM", "linear"), ("Softmax", "activation")],
)  # fmt: skip
def test_layers_are_coloured_by_their_kind(name, kind):
    assert kind_of(name) == kind
