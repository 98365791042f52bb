"""A layer that made a copy is gone; writes in place afterwards do not reach what it copied."""

import pytest
import torch
from snippets import HEAD, module_of
from torch import Tensor, nn
from torch.nn import functional as F

from runner.graph import convert, generate, lint, load_source, recording
from runner.graph.transforms.bypass import bypass_unit


class Net(nn.Module):
    """Holds all that the programs below use; `copied` makes a new tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.copied = nn.Sigmoid()
        self.bn = nn.BatchNorm1d(4)
        self.rows = nn.Embedding(4, 4, max_norm=0.5)
        self.weight = nn.Parameter(torch.ones(4, 4) * 3)
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))
        self.register_buffer("count", torch.zeros(4))


class OwnStatistics(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.copied(self.bn.running_mean)
        y = self.bn(x)
        return mean, y - mean


class GivenStatistics(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.copied(self.mean)
        return mean, F.batch_norm(x, self.mean, self.var, training=True)


class OwnRows(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.copied(self.rows.weight)
        return weight, self.rows(torch.tensor([0, 1]))


class GivenRows(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.copied(self.weight)
        return weight, F.embedding(torch.tensor([0, 1]), self.weight, max_norm=0.5)


class Counted(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        count = self.copied(self.count)
        self.count += 1
        return count, x


class IntoOut(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.copied(x)
        z = torch.add(x, 1, out=x)
        z.mul_(2)
        return y, z


class OfPart(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.copied(x)
        _, part = y.split(2, 1)
        F.relu(part - 0.5, True)
        F.relu(part, True).sub_(1)
        return x, y


PROGRAMS = [OwnStatistics, GivenStatistics, OwnRows, GivenRows, Counted, IntoOut, OfPart]
VIEWS = [
    "y.view(-1)", "y.view(4, 4)", "y.t()", "y.T", "y.mT", "y[0]", "y[1:]", "y[:, 0]", "y[None]",
    "y.unbind(0)[1]", "y.split(2)[1]", "y.chunk(2)[0]", "y.narrow(0, 0, 2)", "y.select(1, 0)",
    "y.unsqueeze(0)", "y.squeeze()", "y.expand(4, 4)", "y.permute(1, 0)", "y.transpose(0, 1)",
    "y.diagonal()", "y.flatten()", "y.reshape(16)", "y.detach()", "y.contiguous()", "y.float()",
    "y.to(y.dtype)", "y.unfold(0, 2, 2)", "y.view_as(x)", "y.expand_as(x)", "y.real", "y.data",
    "y.swapaxes(0, 1)", "y.movedim(0, 1)", "y.hsplit(2)[1]", "y.vsplit(2)[0]",
    "y.as_strided([4], [1])", "torch.ravel(y)", "torch.atleast_2d(y)",
    "torch.broadcast_tensors(y, x)[0]",
    "torch.swapdims(y, 0, 1)", "torch.conj(y)", "torch.adjoint(y)",
]  # fmt: skip


def check(kind):
    """Bypasses `copied`; the result is that of a model which copies there."""
    torch.manual_seed(0)
    with recording():
        net = kind()
    graph = convert(net)
    bypass_unit(graph, "copied")
    lint(graph, decided=True)
    other = load_source(generate(graph, standalone=True), graph.tensors).build()
    other.load_state_dict(net.state_dict())
    net.copied.forward = torch.clone
    x = torch.randn(4, 4)
    with torch.no_grad():
        wanted, found = net(x.clone()), other(x.clone())
    for one, two in zip(wanted, found, strict=True):
        assert one.equal(two)
    state, theirs = net.state_dict(), other.state_dict()
    assert all(state[name].equal(theirs[name]) for name in state)


@pytest.mark.parametrize("kind", PROGRAMS)
def test_what_was_copied_keeps_its_values(kind):
    check(kind)


@pytest.mark.parametrize("view", VIEWS)
def test_a_write_into_a_view_is_a_write(view):
    check(module_of(HEAD + VIEWED.format(view)).Viewed)


VIEWED = """
class Viewed(nn.Module):
    def __init__(self):
        super().__init__()
        self.copied = nn.Sigmoid()

    def forward(self, x):
        y = self.copied(x)
        part = {}
        part.mul_(2)
        return x, y
"""
