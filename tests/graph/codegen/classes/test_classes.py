"""Classes that inherit what no forward calls, with a forward that is written out."""

import copy

import pytest
import torch
from programs.unseen import (
    CachesBias,
    CallsTwice,
    CountedSequential,
    ExtraState,
    FrozenNorm,
    HoldsCaches,
    ResetsChild,
)
from torch import nn

from runner.errors import GraphError
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.graph.interpreter.interpreter import Interpreter
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.unit import Unit
from runner.nn.recording.construction_record import recording


def graph_of(make) -> Graph:
    with recording():
        return convert(make())


def both(make) -> tuple[nn.Module, nn.Module]:
    """A model, and one that is generated with all its classes written out."""
    torch.manual_seed(0)
    with recording():
        model = make()
    graph = convert(model)
    lint(graph)
    generated = load_source(generate(graph, standalone=True)).build()
    generated.load_state_dict(model.state_dict())
    return model, generated


FROZEN = """\
import torch
from torch import nn

from programs.unseen import FrozenNorm as FrozenNorm_2


class FrozenNorm(FrozenNorm_2):
    def __init__(self):
        nn.Module.__init__(self)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.norm(x))


def build():
    return FrozenNorm()
"""


def test_the_class_has_the_constructor_of_a_shell_and_a_forward():
    graph = graph_of(FrozenNorm)
    graph.replace("head", Unit.of("torch.nn:Linear", 3, 3))
    assert generate(graph) == FROZEN


def test_an_unchanged_unit_is_imported():
    assert "class" not in generate(graph_of(FrozenNorm))


def step(model: nn.Module, x: torch.Tensor) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("make", [CachesBias, HoldsCaches])
def test_a_cache_is_filled_in_eval_mode_and_forgotten_in_training(make):
    model, generated = both(make)
    x = torch.randn(4, 3)
    step(model, x)
    step(generated, x)
    for _ in range(2):
        model.eval()
        generated.eval()
        before = model(x)
        assert torch.equal(generated(x), before)
        step(model, x)
        step(generated, x)
        model.eval()
        generated.eval()
        assert torch.equal(generated(x), model(x))
        assert not torch.equal(model(x), before)


def test_a_frozen_norm_stays_frozen():
    model, generated = both(FrozenNorm)
    generated.train()
    assert generated.training and not generated.norm.training
    assert model.norm.running_mean.equal(generated.norm.running_mean)


@pytest.mark.parametrize("make", [CallsTwice, CountedSequential])
def test_a_call_of_its_own_is_in_force(make):
    model, generated = both(make)
    x = torch.randn(4, 3)
    assert torch.equal(generated(x), model(x))
    assert not torch.equal(generated(x), generated.forward(x))


def test_extra_state_is_saved_and_loaded():
    _, generated = both(ExtraState)
    assert generated.state_dict()["_extra_state"] == {"version": 3}
    generated.set_extra_state({"version": 4})
    assert generated.version == 4


def test_a_changed_forward_is_what_an_inherited_call_runs():
    graph = graph_of(CallsTwice)
    forward = graph.root.forward
    with forward.inserting_before(forward.block.end):
        forward.result = forward.call_function("operator:neg", forward.result)
    generated = load_source(generate(graph)).build()
    x = torch.randn(4, 3)
    head = generated.head
    assert torch.equal(generated(x), -head(-head(x)))


def test_a_changed_child_is_seen_by_an_inherited_method():
    graph = graph_of(FrozenNorm)
    graph.replace("norm", Unit.of("torch.nn:BatchNorm1d", 3, affine=False))
    generated = load_source(generate(graph)).build().train()
    assert not generated.norm.affine and not generated.norm.training


@pytest.mark.parametrize("make", [CachesBias, CallsTwice, CountedSequential, ResetsChild])
def test_the_interpreter_inherits_too(make):
    with recording():
        model = make()
    interpreter = Interpreter(convert(model)).load_state_dict(model.state_dict())
    x = torch.randn(4, 3)
    for mode in (True, False, True, False):
        model.train(mode)
        interpreter.model.train(mode)
        assert torch.equal(interpreter(x), model(x))


def test_copies_keep_it():
    graph = graph_of(HoldsCaches)
    for other in (graph.copy(), copy.deepcopy(graph)):
        assert [u.inherits for _, u in other.root.walk()] == [
            u.inherits for _, u in graph.root.walk()
        ]
        assert generate(other, standalone=True) == generate(graph, standalone=True)


def test_a_class_that_cannot_be_found_is_refused():
    unit = Unit("graph", graph_of(FrozenNorm).root.cls)
    unit.inherits = True
    lint(Graph(unit))
    unit.cls = type(unit.cls)("programs.unseen:Nowhere")
    with pytest.raises(GraphError, match="Nowhere"):
        lint(Graph(unit))
