"""How equal calls of the children of containers are written as loops."""

from collections.abc import Sequence

import pytest
import torch
from handbuilt import function, named
from programs.source import body
from torch import nn

from runner.graph.codegen.control_flow.module_loops import singular
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.interpreter.interpreter import Interpreter
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.unit import Ref, Unit

X = torch.arange(8.0).reshape(2, 4) / 8


class OwnOrder(nn.ModuleList):
    """Iterates over its children in another order."""

    def __iter__(self):
        return reversed([*self._modules.values()])


def linear() -> Unit:
    return Unit.of("torch.nn:Linear", 4, 4)


def layers(count: int = 3) -> Unit:
    return Unit.of("torch.nn:ModuleList", [linear() for _ in range(count)])


def written(f: Function, **children: Unit) -> str:
    """The lines of forward as generated, which computes what the graph does."""
    root = Unit("graph", Ref("made.up:Net"))
    root.children.update(children)
    root.define(f)
    graph = Graph(root)
    lint(graph)
    torch.manual_seed(0)
    interpreter = Interpreter(graph)
    model = load_source(generate(graph)).build()
    model.load_state_dict(interpreter.model.state_dict())
    assert torch.equal(model(X), interpreter(X))
    return body(graph)


def call(f: Function, path: str, *given, name: str = "x"):
    return named(f.call_module(path, *given), name)


def called(paths: Sequence[str], name: str = "x") -> Function:
    """A forward that calls units one after the other."""
    f, x = function("x")
    for path in paths:
        x = call(f, path, x, name=name)
    f.result = x
    return f


PATHS = ["layers.0", "layers.1", "layers.2"]
LOOP = "for layer in self.layers:\n    x = layer(x)\nreturn x"


def test_a_chain_of_all_children_is_a_loop() -> None:
    assert written(called(PATHS), layers=layers()) == LOOP
    f = called(PATHS, name="")
    assert written(f, layers=layers()) == "for layer in self.layers:\n    x = layer(x)\nreturn x"


def test_what_is_between_the_calls_belongs_to_the_loop() -> None:
    f, x = function("x")
    items = named(f.create("list", "").output, "items")
    for i in range(3):
        y = call(f, f"norms.{i}", x, name="y")
        y = named(f.call_function("operator:mul", y, i + 1), "y")
        x = named(f.call_function("operator:add", x, f.call_module(f"layers.{i}", y)), "x")
        f.create("call_method", "append", (items, x), outputs=())
    f.result = f.call_function("torch:stack", items)
    norms = Unit.of("torch.nn:ModuleList", [Unit.of("torch.nn:LayerNorm", 4) for _ in range(3)])
    assert written(f, norms=norms, layers=layers()) == (
        "items = []\n"
        "for i, (norm, layer) in enumerate(zip(self.norms, self.layers)):\n"
        "    y = norm(x)\n"
        "    y = y * (i + 1)\n"
        "    x = x + layer(y)\n"
        "    items.append(x)\n"
        "return torch.stack(items)"
    )


def test_a_dict_is_looped_over_by_its_values() -> None:
    heads = Unit.of("torch.nn:ModuleDict", {name: linear() for name in "abc"})
    f, x = function("x")
    total = x
    for name in "abc":
        y = f.call_module(f"heads.{name}", x)
        total = named(f.call_function("operator:add", total, y), "t")
    f.result = total
    assert written(f, heads=heads) == (
        "t = x\nfor head in self.heads.values():\n    t = t + head(x)\nreturn t"
    )


def test_loops_in_loops() -> None:
    f, x = function("x")
    for i in range(3):
        for j in range(3):
            x = call(f, f"blocks.{i}.{j}", x)
        x = named(f.call_function("operator:add", x, f.get_attr(f"blocks.{i}.0.bias")), "x")
    f.result = x
    blocks = Unit.of("torch.nn:ModuleList", [layers() for _ in range(3)])
    assert written(f, blocks=blocks) == (
        "for block in self.blocks:\n"
        "    for module in block:\n"
        "        x = module(x)\n"
        "    x = x + block[0].bias\n"
        "return x"
    )


def test_children_may_be_passed_on_and_have_branches() -> None:
    f, x = function("x")
    for i in range(3):
        is_large = f.call_function("operator:gt", f.call_method("sum", x), 0)
        node = f.create("if", "", (is_large,), outputs=("x",))
        then, other = node.add_block(), node.add_block()
        with f.inserting_into(then):
            checked = f.call_function(
                "torch.utils.checkpoint:checkpoint",
                f.get_attr(f"layers.{i}"),
                x,
                use_reentrant=False,
            )
            then.results = (named(checked, "x"),)
        other.results = (x,)
        x = node.output
    f.result = x
    assert written(f, layers=layers()) == (
        "for layer in self.layers:\n"
        "    if x.sum() > 0:\n"
        "        x = checkpoint(layer, x, use_reentrant=False)\n"
        "return x"
    )


@pytest.mark.parametrize(
    "paths", [PATHS[:2], PATHS[::-1], [*PATHS[:2], PATHS[0]], [PATHS[1], PATHS[0], PATHS[2]]]
)
def test_other_calls_of_children_are_written_one_by_one(paths: list[str]) -> None:
    assert "for" not in written(called(paths), layers=layers())


def test_a_loop_has_to_be_shorter() -> None:
    assert "for" not in written(called(PATHS[:2]), layers=layers(2))


def test_a_replaced_child_is_one_of_the_loop() -> None:
    container = layers()
    container.set_child("1", Unit.of("torch.nn:ReLU"))
    assert written(called(PATHS), layers=container) == LOOP


def test_shared_children_and_other_orders_are_no_loop() -> None:
    container = layers()
    container.children["2"] = container.children["0"]
    assert "for" not in written(called(PATHS), layers=container)
    container = layers(4)
    del container.children["1"]
    assert "for" not in written(called([PATHS[0], PATHS[2], "layers.3"]), layers=container)
    own = Unit("graph", Ref(f"{__name__}:OwnOrder"))
    own.children.update(layers().children)
    assert "for" not in written(called(PATHS), layers=own)


def test_nothing_else_may_need_what_the_calls_compute() -> None:
    f, x = function("x")
    values = [x]
    for path in PATHS:
        values.append(call(f, path, values[-1]))
    f.result = f.call_function("torch:add", values[2], values[3])
    assert "for" not in written(f, layers=layers())


def test_names_that_differ_stay() -> None:
    f, x = function("x")
    for path, name in zip(PATHS, "abc", strict=True):
        x = call(f, path, x, name=name)
    f.result = x
    assert "for" not in written(f, layers=layers())


def test_of_several_ways_to_divide_the_calls_the_simplest_is_taken() -> None:
    f, x = function("x")
    items = named(f.create("list", "", (x,)).output, "items")
    for path in PATHS:
        last = f.call_function("operator:getitem", items, -1)
        f.create("call_method", "append", (items, f.call_module(path, last)), outputs=())
    f.result = f.call_function("operator:getitem", items, -1)
    assert written(f, layers=layers()) == (
        "items = [x]\n"
        "for layer in self.layers:\n"
        "    items.append(layer(items[-1]))\n"
        "return items[-1]"
    )


def test_units_with_one_function_have_their_own_loops() -> None:
    root = Unit("graph", Ref("made.up:Net"))
    f, x = function("x")
    g = called(PATHS)
    for name, count in (("a", 3), ("b", 4)):
        part = Unit("graph", Ref("made.up:Part"))
        part.children["layers"] = layers(count)
        part.functions["forward"] = g
        root.children[name] = part
        x = call(f, name, x)
    f.result = x
    root.define(f)
    source = generate(Graph(root))
    assert source.count("for layer in self.layers:") == 1
    assert source.count("x = self.layers[2](x)") == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.layers", "layer"),
        ("branches", "branch"),
        ("boxes", "box"),
        ("entries", "entry"),
        ("losses", "loss"),
        ("phases", "phase"),
        ("lists", "module"),
        ("bias", "module"),
        ("class", "module"),
        ("h", "module"),
        ("", "module"),
    ],
)
def test_an_item_has_the_singular_name_of_its_container(path: str, name: str) -> None:
    assert singular(path) == name
