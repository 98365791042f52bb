import warnings
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner import nn as space
from runner.errors import GraphError
from runner.graph.frontend.convert import convert
from runner.graph.interpreter.interpreter import Interpreter
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.unit import Call, Edit, Ref
from runner.nn.recording.construction_record import recording
from runner.nn.symbolic import symbolic


def converted(make, *args) -> tuple[nn.Module, Graph]:
    """A model that was recorded, and its graph, with no warning on the way."""
    torch.manual_seed(0)
    with recording():
        model = make(*args)
    return model, convert(model, frontend="torchscript")


def targets(function: Function) -> list[str]:
    return [node.target or node.op for node in function.nodes]


def check_equal(model: nn.Module, graph: Graph, *inputs) -> None:
    """The graph gives what the model gives, training and not."""
    lint(graph)
    twin = Interpreter(graph).load_state_dict(model.state_dict())
    for mode in (True, False):
        model.train(mode)
        twin.model.train(mode)
        torch.manual_seed(1)
        expected = model(*(i.clone() if isinstance(i, Tensor) else i for i in inputs))
        torch.manual_seed(1)
        found = twin(*(i.clone() if isinstance(i, Tensor) else i for i in inputs))
        torch.testing.assert_close(found, expected)


class Block(nn.Module):
    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.act(self.norm(self.conv(x)))
        out += x
        return out


class Net(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        x = self.body(x)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def test_a_model_becomes_units_of_the_right_grade_with_their_calls():
    model, graph = converted(Net)
    assert graph.grades() == {"graph": 4, "shell": 0, "basic": 7, "symbolic": 0}
    assert graph.notes == []
    conv = graph.unit("body.0.conv")
    assert conv.call is not None and conv.call.args == (4, 4, 3)
    assert conv.call.kwargs == {"padding": 1, "bias": False}
    assert graph.unit("body").cls == Ref("torch.nn:Sequential")
    assert not any(unit.changed for _, unit in graph.root.walk())
    check_equal(model, graph, torch.randn(2, 4, 8, 8))


def test_in_place_operators_give_no_value_and_names_are_those_of_the_source():
    _, graph = converted(Block, 4)
    nodes = graph.root.functions["forward"].nodes
    assert [(n.target, [o.name for o in n.outputs]) for n in nodes] == [
        ("conv", [""]), ("norm", [""]), ("act", ["out"]), ("operator:iadd", []),
    ]  # fmt: skip
    assert nodes[0].line.startswith("test_compile.py:")


def test_modules_of_one_type_share_their_functions():
    _, graph = converted(Net)
    first, second = (graph.unit(f"body.{i}").functions["forward"] for i in range(2))
    assert first is second


def test_the_model_is_left_as_it_was():
    with recording():
        model = Net()
    before = {name: (type(m), [*vars(m)]) for name, m in model.named_modules()}
    store = torch.jit._recursive.concrete_type_store
    convert(model, frontend="torchscript")
    assert {name: (type(m), [*vars(m)]) for name, m in model.named_modules()} == before
    assert torch.jit._recursive.concrete_type_store is store


class Flow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.steps = 3

    def forward(self, x, scale: float | None = None):
        for i in range(self.steps):
            if self.training and i > 0:
                x = self.lin(x) + i
        with torch.no_grad():
            shift = x.sum()
        if scale is not None:
            x = x * scale
        assert x.dim() == 2, f"got {x.dim()}"
        return x + shift


def test_control_flow_is_kept_as_nodes_with_blocks():
    model, graph = converted(Flow)
    ops = {node.op for node in graph.root.functions["forward"].nodes}
    assert {"loop", "if", "with", "raise"} <= ops
    assert graph.root.attributes == {"steps": 3}
    check_equal(model, graph, torch.randn(2, 4))


class Brackets(nn.Module):
    def forward(self, x):
        a = x[:, 1:, ::2, -1]
        x = x.clone()
        x[:, 0] = 1.0
        x[:, torch.tensor([0, 2]), 1] = 0.5
        return a, x[..., 0], x[:, None, 1], x.shape[:-1] + (1,)  # noqa: RUF005


def test_indexing_is_put_together_again():
    model, graph = converted(Brackets)
    nodes = graph.root.functions["forward"].nodes
    first = next(n for n in nodes if n.target == "operator:getitem")
    whole = slice(None, None, None)
    assert first.args[1] == (whole, slice(1, None, None), slice(None, None, 2), -1)
    assign = next(n for n in nodes if n.target == "operator:setitem")
    assert assign.args[1:] == ((whole, 0), 1.0)
    twin = Interpreter(graph).model
    x = torch.randn(2, 3, 4, 4)
    for found, expected in zip(twin(x)[:3], model(x)[:3], strict=True):
        assert found.equal(expected)


class Types(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kind = torch.float64

    def forward(self, x, dtype: torch.dtype | None = None):
        if dtype is None:
            dtype = torch.float32
        y = torch.zeros([2], dtype=dtype, device=x.device)
        return (x.to(self.kind) + y).to(dtype), x.dtype == torch.float32


def test_dtypes_are_dtypes_again():
    model, graph = converted(Types)
    branch = next(n for n in graph.root.functions["forward"].nodes if n.op == "if")
    assert branch.blocks[0].results == (Ref("torch:float32"),)
    assert graph.root.attributes == {"kind": Ref("torch:float64")}
    check_equal(model, graph, torch.randn(2))


class Out(NamedTuple):
    logits: Tensor
    names: dict[str, Tensor]


def twice(x: Tensor, k: int = 2) -> Tensor:
    return x * k


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    twice = torch.jit.script(twice)


def shifted(x: Tensor, by: float = 1.0) -> Tensor:
    return x + by


class Calls(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = F.gelu

    def helper(self, x, k: int = 3):
        return x * k

    def forward(self, x):
        x = self.helper(self.act(x)) + shifted(twice(x), by=2.0)
        return Out(x, {"x": x})


def test_functions_methods_and_named_tuples_are_calls():
    model, graph = converted(Calls)
    found = targets(graph.root.functions["forward"])
    assert {":helper", ":twice", f"{__name__}:shifted", f"{__name__}:Out"} <= {*found}
    assert [*graph.functions] == ["twice"]
    helper = graph.root.functions["helper"].parameters
    assert [(p.name, p.default, p.annotation) for p in helper] == [
        ("x", (), ""),
        ("k", (3,), "int"),
    ]
    x = torch.randn(2)
    assert Interpreter(graph).model(x).logits.equal(model(x).logits)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, *args):
        return self.lin(args[0])


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.odd = Odd()
        self.block = Flow()

    def forward(self, x):
        return self.block(self.odd(x) if self.training else x)


def test_what_cannot_be_read_costs_only_itself_and_is_said():
    _, graph = converted(Around)
    assert {path: unit.grade for path, unit in graph.root.walk()} == {
        "": "shell", "odd": "shell", "odd.lin": "basic", "block": "graph", "block.lin": "basic",
    }  # fmt: skip
    note = str(next(note for note in graph.notes if note.path == "odd"))
    said = "odd (Odd): Its forward cannot be converted. torchscript: test_compile.py:"
    assert note.startswith(said)
    assert "@basic_unit" in note


class TakesBoth(nn.Module):
    def forward(self, x):
        if isinstance(x, list):
            x = x[0]
        return x + 1


class Unchecked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = TakesBoth()

    def forward(self, x, **kwargs):
        return self.inner([x])


def test_under_a_shell_a_test_of_a_type_is_not_pruned():
    model, graph = converted(Unchecked)
    assert graph.unit("inner").grade == "basic"
    x = torch.randn(2)
    assert Interpreter(graph).model(x).equal(model(x))


class Edited(nn.Module):
    def __init__(self, ceil: bool = False) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.pool.ceil_mode = ceil
        self.lin = nn.Linear(3, 3)

    def forward(self, x):
        return self.lin(self.pool(x))


def test_what_was_changed_behind_a_constructor_is_noticed():
    model, _ = converted(Edited, True)
    model.lin.weight.requires_grad_(False)
    graph = convert(model, frontend="torchscript")
    assert graph.unit("pool").edits == [Edit(graph.unit("pool"), "", "ceil_mode", True)]
    frozen = Edit(graph.unit("lin"), "weight", "requires_grad", False)
    assert graph.unit("lin").edits == graph.root.edits == [frozen]
    assert not graph.root.changed
    model.lin = nn.Linear(3, 4)
    assert convert(model, frontend="torchscript").root.changed


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = self.a
        self.c = nn.Linear(3, 3)
        self.c.weight = self.a.weight
        self.norm = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
        self.register_buffer("mask", torch.tril(torch.ones(3, 3)), persistent=False)

    def forward(self, x):
        return self.norm(self.c(self.b(self.a(x)))) * self.mask


def test_sharing_ties_and_parametrizations_are_kept():
    model, graph = converted(Shared)
    assert graph.unit("a") is graph.unit("b")
    assert graph.ties == (("c.weight", "a.weight"),)
    [hook] = graph.unit("norm").hooked
    assert hook.target == "torch.nn.utils.parametrizations:weight_norm"
    mask = graph.root.buffers["mask"]
    assert isinstance(mask.start, Call) and mask.start.target == "torch:tril"
    check_equal(model, graph, torch.randn(3, 3))


class Space(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = space.ValueChoice([4, 8], label="width")
        self.stem = nn.Conv2d(3, width, 1)
        self.layer = space.LayerChoice([nn.Conv2d(width, width, 1), nn.Identity()], label="layer")
        self.pick = space.InputChoice(2, label="pick")
        self.deep = space.Repeat(lambda i: nn.Conv2d(width, width, 1), (1, 3), label="deep")
        self.rate = space.ValueChoice([0.1, 0.2], label="rate")
        self.spot = space.Placeholder("spot")

    def forward(self, x):
        x = self.stem(x)
        x = self.pick([x, self.layer(x)])
        return self.spot(F.dropout(self.deep(x), self.rate(), self.training))


def test_choices_stay_symbolic():
    with symbolic():
        model = Space()
    graph = convert(model, frontend="torchscript")
    assert graph.notes == [] and graph.root.grade == "graph"
    choices = [unit for _, unit in graph.units() if unit.grade == "symbolic"]
    found = {unit.name: unit.facts["labels"] for unit in choices}
    assert found == {"LayerChoice": ("layer",), "InputChoice": ("pick",), "Repeat": ("deep",)}
    assert graph.unit("spot").facts["labels"] == ("spot",)
    assert graph.unit("stem").call.args[1].default == 4
    assert graph.root.attributes["rate"].default == 0.1
    assert targets(graph.root.functions["forward"])[:3] == ["stem", "layer", "pick"]


class FinalChoice(nn.Module):
    __constants__ = ("rate",)

    def __init__(self) -> None:
        super().__init__()
        self.rate = space.ValueChoice([0.1, 0.2], label="rate")

    def forward(self, x):
        return x * self.rate


def test_an_open_constant_is_an_error_that_says_what_to_do():
    with symbolic():
        model = FinalChoice()
    with pytest.raises(GraphError, match="Remove 'rate' from __constants__"):
        convert(model, frontend="torchscript")


def test_a_model_built_outside_recording_is_told_by_its_attributes():
    graph = convert(Net(), frontend="torchscript")
    conv = graph.unit("body.1.conv")
    assert conv.call is not None and conv.call.args == (4, 4, (3, 3))
    assert graph.unit("body.1").call is None and graph.unit("body.1").changed


def test_no_warning_of_torchscript_gets_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert(nn.Sequential(nn.Linear(2, 2)), frontend="torchscript")
