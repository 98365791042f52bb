"""Stand-alone source has the methods that a class overrides: copied, or refused with the reason."""

import ast
import re

import pytest
import torch
from overriding import REFUSED, SHAPES, Block, ByClass, ByMethodOfChild, Net
from torch import nn

from runner.engines.standalone import check_standalone
from runner.errors import ConfigError
from runner.graph.codegen.copied_methods.copies import Copies
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.unit import Unit
from runner.nn.recording.construction_record import recording


def converted(make) -> tuple[nn.Module, Graph]:
    torch.manual_seed(0)
    with recording():
        model = make()
    return model, convert(model)


def mutated(graph: Graph) -> Graph:
    """With another activation inside, that computes the same."""
    twin = graph.copy()
    twin.replace("stem.act", Unit.of("torch.nn:LeakyReLU", 0.0))
    lint(twin)
    return twin


def run(model: nn.Module) -> list:
    """All that can be seen of a model that goes from one mode to the other."""
    torch.manual_seed(1)
    x = torch.randn(5, 4)
    found = [state(model)]
    steps = [
        *(model.train, model.eval, model.train, lambda: model.requires_grad_(False)),
        *(lambda: model.requires_grad_(True), model.eval, model.double, model.float),
        *(lambda: model.train(False), lambda: model.train(True)),
    ]
    for step in steps:
        step()
        torch.manual_seed(2)
        if model.state_dict() and step != model.double:
            out = model(x.to(next(nn.Module.parameters(model)).dtype))
            found.append(out.detach().double())
        found.append(state(model))
    return found


def state(model: nn.Module) -> dict:
    return {
        "training": {path: module.training for path, module in model.named_modules()},
        "requires_grad": {name: p.requires_grad for name, p in nn.Module.named_parameters(model)},
        "tensors": {name: value.clone() for name, value in model.state_dict().items()},
        "parameters": len([*model.parameters()]),
    }


def check_alike(twin: nn.Module, model: nn.Module) -> None:
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(run(twin), run(model), rtol=0, atol=0)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("standalone", [False, True])
@pytest.mark.parametrize("make", SHAPES)
def test_an_override_is_in_force_in_generated_source(make, standalone):
    model, graph = converted(make)
    lint(graph)
    assert {unit.grade for _, unit in graph.root.walk()} == {"graph", "basic"} and not graph.notes
    text = generate(graph, standalone=standalone)
    if standalone:
        check_standalone(text, graph, None)
        assert "overriding" not in text
    check_alike(load_source(text).build(), model)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("standalone", [False, True])
@pytest.mark.parametrize("make", SHAPES)
def test_a_mutation_inside_leaves_an_override_in_force(make, standalone):
    model, graph = converted(make)
    text = generate(mutated(graph), standalone=standalone)
    assert "LeakyReLU" in text
    check_alike(load_source(text).build(), model)


@pytest.mark.parametrize("make", [make for make in SHAPES if "train" in vars(make)])
def test_the_override_of_each_shape_shows(make):
    model, _ = converted(make)
    torch.manual_seed(0)
    plain = Net() if isinstance(model, Net) else model
    shown, without = run(model), run(plain) if plain is not model else None
    assert without is None or not _equal(shown, without)


def _equal(one: list, other: list) -> bool:
    try:
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("make", REFUSED)
def test_what_cannot_be_copied_comes_along_as_a_whole_or_is_refused_with_the_reason(make):
    model, graph = converted(make)
    text = generate(graph, standalone=True)
    assert re.search(REFUSED[make], Copies(graph).problems[graph.root])
    if make.__name__ in WHOLE:
        check_standalone(text, graph, None)
        assert f"class {make.__name__}" in text
    else:
        with pytest.raises(ConfigError, match=f"{make.__name__} .the model: .*{REFUSED[make]}"):
            check_standalone(text, graph, None)
    check_alike(load_source(text).build(), model)
    check_alike(load_source(generate(graph)).build(), converted(make)[0])  # it is imported


# Classes whose own source comes along where single methods of it cannot.
WHOLE = {"Logs", "AsksObject", "AsksType", "Wrapped", "Made", "Sets"}


def test_copied_methods_read_like_those_they_come_from():
    text = generate(converted(ByClass)[1], standalone=True)
    [made] = [n for n in ast.parse(text).body if getattr(n, "name", "") == "ByClass"]
    assert ast.unparse(made.body[-1]) == TRAIN


TRAIN = """\
def train(self, mode=True):
    super().train(mode)
    for module in self.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
    return self"""


def test_a_part_whose_methods_an_override_calls_can_be_mutated():
    graph = converted(ByMethodOfChild)[1]
    assert graph.unit("body.2").grade == "graph" and graph.unit("body.2").inherits
    graph.replace("body.2.act", Unit.of("torch.nn:Tanh"))
    model = load_source(generate(graph, standalone=True)).build().train()
    assert model.body[2].is_frozen and isinstance(model.body[2].act, nn.Tanh)


def test_nothing_is_copied_of_a_class_that_overrides_nothing():
    text = generate(converted(Block)[1], standalone=True)
    assert text.count("def ") == 3
