"""What is no model that can be read is refused with what would be right."""

import re
import sys
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.frontend.build_graph import build
from runner.graph.frontend.convert import convert
from runner.graph.frontend.grades import grade
from runner.graph.frontend.initialize import initialize
from runner.graph.frontend.live_modules.kept_modules import Keep
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.frontend.reading.readings import Readings
from runner.graph.frontend.torchscript.reading.read import TorchScriptFrontEnd
from runner.graph.ir.lint import lint
from runner.graph.ir.lint_function import uses_of
from runner.graph.validation.conversion_check import check_conversion


@pytest.mark.parametrize("entry", [convert, check_conversion])
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("x", "'x' is not a model; pass a torch.nn.Module"),
        (None, "None is not a model"),
        (nn.ReLU, "ReLU is a class; pass an instance: ReLU()"),
    ],
)
def test_what_is_no_model_is_said(entry, given, text):
    with pytest.raises(GraphError) as caught:
        entry(given)
    assert text in str(caught.value)


def test_a_scripted_model_is_to_be_given_as_it_was():
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(nn.ReLU())
    with pytest.raises(GraphError, match="pass the original model"):
        convert(scripted)


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_model_without_shapes_has_to_run_before():
    model = nn.Sequential(nn.LazyLinear(4))
    with pytest.raises(GraphError, match=r"0 \(LazyLinear\) has no shapes yet; run the model"):
        convert(model)
    model(torch.ones(2, 3))
    assert convert(model).unit("0").parameters["weight"].shape == (4, 3)


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tril(torch.ones(5, 5)))
        self.norm = nn.BatchNorm1d(5)

    def forward(self, x):
        return self.norm(x) @ self.mask


def test_a_buffer_needs_a_value():
    with torch.device("meta"):
        model = Masked()
    with pytest.raises(GraphError, match="the buffer 'mask' has no value on the meta device"):
        convert(model)
    with torch.device("meta"):
        assert convert(nn.Sequential(nn.BatchNorm1d(5))).notes == []


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


class Pairs(nn.Module):
    def forward(self, x):
        return Pair(x, x * 2)


class Rest(nn.Module):
    def forward(self, *xs):
        return xs[0]


@pytest.fixture
def in_main(monkeypatch):
    """Classes of `__main__`, as those of a script are."""
    for cls in (Pair, Rest):
        monkeypatch.setattr(cls, "__module__", "__main__")
        monkeypatch.setattr(sys.modules["__main__"], cls.__name__, cls, raising=False)


def test_what_is_in_main_is_kept_and_noted(in_main):
    report = check_conversion(nn.Sequential(Rest(), Pairs()), torch.ones(2))
    report.raise_if_wrong()
    notes = [note.text for note in report.notes]
    assert any(note.startswith("Pair is imported from __main__") for note in notes), notes


def local_pair() -> type[nn.Module]:
    class Local(NamedTuple):
        first: Tensor

    class GivesLocal(nn.Module):
        def forward(self, x):
            return Local(x)

    return GivesLocal


def test_a_named_tuple_that_cannot_be_imported_is_no_plain_tuple():
    notes = [str(note) for note in convert(local_pair()()).notes]
    assert any(re.search("Local cannot be imported.* Kept as a basic unit", note) for note in notes)


class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.masked = nn.Sequential(Masked(), nn.ReLU())
        self.scale = 2.0

    def forward(self, x):
        for _ in range(2):
            x = self.masked(x) if x.sum() > 0 else x * self.scale
        return x


def test_the_result_of_each_step_is_sound():
    model = Steps()
    readings = Readings(model, {"torchscript": TorchScriptFrontEnd})
    for module in model.modules():
        for _, found in () if is_opaque(module) else readings.of(module):
            assert not found.problem
            for name, function in found.functions.items():
                uses_of(function, name, kept=True)
    graded = grade(readings, Keep())
    assert [unit.grade for _, unit in graded.items()] == ["graph"] * 3 + ["basic"] * 2
    graph = build(graded)
    assert [path for path, _ in graph.root.walk()] == [path for path, _ in model.named_modules()]
    initialize(graph, graded)
    lint(graph)
    assert str(graph) == str(convert(model, frontend="torchscript"))
