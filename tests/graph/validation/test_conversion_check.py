"""check_conversion says whether generated source is as good as the model, and where not."""

from typing import NamedTuple

import handmade
import pytest
import torch
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.validation import conversion_check
from runner.graph.validation.conversion_check import check_conversion
from runner.nn.recording.construction_record import recording


@pytest.fixture
def model():
    torch.manual_seed(0)
    with recording():
        return handmade.Net()


@pytest.fixture
def x():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_conversion_that_is_right_says_so(model, x):
    report = check_conversion(model, x, flip=True)
    assert report.ok, report
    report.raise_if_wrong()
    assert str(report).startswith("Net: equal. Units: 7 graph, 0 shell, 2")
    assert report.compared == [
        "as generated, eval mode", "as generated, train mode",
        "standalone, eval mode", "standalone, train mode",
    ]  # fmt: skip
    assert "class Block" in report.sources["standalone"]
    assert "class Block" not in report.sources["as generated"]


def test_the_model_is_left_as_it_was(model, x):
    model.train()
    model.layer1.eval()
    model.fc.weight.grad = torch.ones(4, 16)
    model.seen = 3
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    buffers = {name: id(buffer) for name, buffer in model.named_buffers()}
    modes = [module.training for module in model.modules()]
    state, given = torch.get_rng_state(), x.clone()
    check_conversion(model, x)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert {name: id(buffer) for name, buffer in model.named_buffers()} == buffers
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, given)
    assert model.fc.weight.grad.sum() == 64
    assert model.stem.weight.grad is None
    assert model.seen == 3


def wrong(monkeypatch, old: str, new: str) -> None:
    """Let standalone source come out wrong."""
    generate = conversion_check.generate

    def generated(graph, *, standalone=False):
        text = generate(graph, standalone=standalone)
        assert old in text or not standalone
        return text.replace(old, new) if standalone else text

    monkeypatch.setattr(conversion_check, "generate", generated)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("self.times = 3", "self.times = 2", "standalone, eval mode: output is off by"),
        ("stride=2", "stride=1", "standalone, eval mode: output is off by"),
        ("nn.Linear(16, 4)", "nn.Linear(16, 5)", "standalone, eval mode: running failed"),
        ("self.fc", "self.head", "the state_dict lacks ['fc.weight', 'fc.bias'] and has"),
        ("nn.Dropout()", "nn.Dropout(0.1)", "standalone, train mode: output is off by"),
        ("nn.BatchNorm2d(16)", "nn.BatchNorm2d(16, momentum=0.3)", "train mode: buffer layer2"),
        ("def build", "def built", "standalone, the source failed"),
    ],
)
def test_a_wrong_conversion_says_where(model, x, monkeypatch, old, new, text):
    wrong(monkeypatch, old, new)
    report = check_conversion(model, x)
    assert not report.ok
    assert text in str(report)
    assert str(report).startswith("Net: NOT equal.")
    assert not any("as generated" in problem for problem in report.problems)
    with pytest.raises(GraphError, match="NOT equal"):
        report.raise_if_wrong()


def test_wrong_gradients_are_found(model, x, monkeypatch):
    wrong(monkeypatch, "return self.fc(", "return self.fc.requires_grad_(False)(")
    problems = "\n".join(check_conversion(model, x).problems)
    assert "gradient names differ" in problems


def test_a_model_that_does_not_run_is_told_apart(model):
    with pytest.raises(GraphError, match="Net itself does not run on these inputs: RuntimeError"):
        check_conversion(model, torch.zeros(2, 5, 8, 8))


def test_train_mode_is_left_out_where_the_model_does_not_train():
    with recording():
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    report = check_conversion(model, torch.ones(1, 3))
    assert report.ok, report
    assert report.compared == ["as generated, eval mode", "standalone, eval mode"]
    assert "Not compared in train mode" in str(report)


def test_an_unfaithful_front_end_is_found(model, x, monkeypatch):
    convert = conversion_check.convert

    def drifting(model, **given):
        graph = convert(model, **given)
        graph.unit("layer1.0").set_child("relu", graph.unit("dropout"))
        return graph

    monkeypatch.setattr(conversion_check, "convert", drifting)
    assert "output is off by" in str(check_conversion(model, x))


def test_a_graph_that_breaks_the_rules_is_found(model, x, monkeypatch):
    convert = conversion_check.convert

    def broken(model, **given):
        graph = convert(model, **given)
        graph.root.forward.get_attr("missing")
        return graph

    monkeypatch.setattr(conversion_check, "convert", broken)
    [problem, *_] = check_conversion(model, x).problems
    assert problem.startswith("the check of the graph failed: GraphError: the model, forward")
    assert "no parameter, buffer, attribute or unit 'missing'" in problem


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


class Pairs(nn.Module):
    def forward(self, x):
        return Pair(x, x)


def test_a_tuple_in_place_of_a_named_one_is_found(monkeypatch):
    generate = conversion_check.generate
    monkeypatch.setattr(
        conversion_check,
        "generate",
        lambda graph, **how: generate(graph, **how).replace("Pair(x, x)", "x, x"),
    )
    problems = check_conversion(Pairs(), torch.ones(2)).problems
    assert "standalone, eval mode: type(output) is 'plain', not 'Pair'." in problems


class Counts(nn.Module):
    """Each run gives something else: of a buffer, of one that is not saved, of an attribute."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("shift", torch.zeros(()), persistent=False)
        self._calls = 0

    def forward(self, x):
        self.seen += 1
        self.shift += 1
        self._calls += 1
        return x * self.seen + self.shift + self._calls


def test_every_run_starts_from_the_same_state():
    with recording():
        model = Counts()
    check_conversion(model, torch.ones(2)).raise_if_wrong()
    assert (model.seen.item(), model.shift.item(), model._calls) == (0, 0, 0)
