"""Work in place around what is taken out: residual connections add what they added before."""

from functools import partial

import pytest
import torch
from residual import converted, source
from torch import Tensor, nn
from torch.nn import functional as F

from runner.graph import Graph, generate, lint, load_source
from runner.graph.transforms.mutator import mutate
from runner.mutators.bypass import Bypass
from runner.mutators.depth import Depth
from runner.mutators.remove import Remove
from runner.mutators.replace import Replace
from runner.mutators.skip import Skip
from runner.space.sample import Walk


class Pre(nn.Module):
    """A pre-activation block, as in a hundred repositories."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.conv(self.relu(self.bn(x))) + x


class Coded(Pre):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.bn(x)
        y = y.view(y.shape)
        y += 1
        return self.conv(F.relu(y, True)) + x


class Read(Pre):
    """Reads what was changed in place."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.bn(x)
        self.relu(y)
        return self.conv(y) + x


class Late(Pre):
    """What the norm is given changes behind it."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.bn(x)
        x.relu_()
        return self.conv(y) + x


class Plain(nn.Module):
    """Its bn is gone: nothing works in place."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.kind = kind
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.kind is Late:
            return self.conv(x) + F.relu(x)
        return self.conv(F.relu(x + 1 if self.kind is Coded else x)) + x


class Body(nn.Module):
    """A residual around a Sequential."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(*body)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.conv(self.body(x)) + x


class Adds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x.add_(1))


def bodies() -> dict[str, tuple[nn.Module, str, nn.Module]]:
    """Nets, the path of their norm, and what they are without it."""
    norm, relu = partial(nn.BatchNorm2d, 8), partial(nn.ReLU, inplace=True)
    return {
        "first": (Body(norm(), relu()), "body.0", Body(nn.Identity(), nn.ReLU())),
        "inner": (Body(nn.Sequential(norm()), nn.Dropout(0.0), nn.ReLU(True)), "body.0.0",
                  Body(nn.Sequential(nn.Identity()), nn.Dropout(0.0), nn.ReLU())),
        "nested": (Body(norm(), nn.Sequential(relu())), "body.0",
                   Body(nn.Identity(), nn.Sequential(nn.ReLU()))),
        "code": (Body(norm(), Adds()), "body.0", Body(nn.Identity(), Copied())),
        "outside": (Outside(norm()), "body.0", Body(nn.Identity(), nn.ReLU())),
    }  # fmt: skip


class Copied(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + 1)


class Outside(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.body(x)
        return self.conv(y.relu_()) + x


def without(net: nn.Module, *mutators) -> Graph:
    graph = converted(lambda: net)
    mutate(graph, mutators, Walk(lambda choice: choice.default))
    lint(graph, decided=True)
    return graph


def check(graph: Graph, other: nn.Module) -> None:
    """A mutated model gives what another does, and learns the same."""
    for standalone in (False, True):
        model = load_source(generate(graph, standalone=standalone), graph.tensors).build()
        other.load_state_dict(model.state_dict(), strict=False)
        x = torch.randn(2, 3, 6, 6)
        for training in (True, False):
            ours, theirs = model.train(training)(x), other.train(training)(x)
            torch.testing.assert_close(ours, theirs)
            grads = [torch.autograd.grad(y.square().sum(), [*m.parameters()][:2])
                     for y, m in ((ours, model), (theirs, other))]  # fmt: skip
            torch.testing.assert_close(*grads)


@pytest.mark.parametrize("kind", [Pre, Coded, Read, Late])
@pytest.mark.parametrize(
    "taken",
    [
        Remove(on="bn", remove=True),
        Bypass(on="bn", bypass=True),
        Replace(on="bn", replace="Identity"),
        Replace(on="bn", replace=partial(nn.Dropout, p=0.0)),
    ],
)
def test_a_residual_around_code_keeps_what_it_adds(kind, taken):
    check(without(kind(), taken), Plain(kind))


@pytest.mark.parametrize("name", [*bodies()])
@pytest.mark.parametrize("word", ["remove", "bypass", "replace", "dropout"])
def test_a_residual_around_a_sequential_keeps_what_it_adds(name, word):
    net, path, other = bodies()[name]
    taken = {
        "remove": Remove(on=path, remove=True),
        "bypass": Bypass(on=path, bypass=True),
        "replace": Replace(on=path, replace="Identity"),
        "dropout": Replace(on=path, replace=partial(nn.Dropout, p=0.0)),
    }[word]
    check(without(net, taken), other)


def test_a_stage_without_blocks_gives_what_it_is_given():
    check(without(Outside(nn.BatchNorm2d(8)), Depth(on="body", depth=0)), Body(nn.ReLU()))


def test_a_call_that_is_gone_or_an_identity_in_eval_mode():
    class Called(Pre):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.conv(self.relu(torch.tanh(x))) + x

    check(without(Called(), Remove(op="tanh", remove=True)), Plain(Pre))
    dropout = partial(F.dropout, p=0.0)
    check(without(Called(), Replace(op="tanh", replace=dropout)), Plain(Pre))


def test_a_skip_adds_what_was_there_before_anything_changed_it():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.body = nn.Sequential(nn.Identity(), nn.Identity(), nn.ReLU(inplace=True))
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.body(self.stem(x)))

    check(without(Two(), Skip(on="body", to="conv", skip=True)), Plain(Pre))


def test_only_what_needs_it_is_calmed_or_copied():
    text = source(without(Pre(), Remove(on="bn", remove=True)))
    assert "self.relu = nn.ReLU()" in text and "clone" not in text
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1), nn.ReLU(True))
    assert "inplace=True" in source(without(net, Remove(on="1", remove=True)))
