"""Every proxy: its score, computed by another route, of models with norms, and with layers that are
used twice, frozen, or left out."""

import copy
import math

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional

from runner.errors import ConfigError
from runner.proxies.function import FunctionProxy
from runner.proxies.grad_norm import GradientNorm
from runner.proxies.jacob_cov import JacobianCovariance
from runner.proxies.naswot import Naswot
from runner.proxies.params import ParameterProxy
from runner.proxies.proxy import Proxy
from runner.proxies.snip import Snip
from runner.proxies.synflow import SynFlow

PROXIES: dict[str, Proxy] = {
    "params": ParameterProxy(),
    "grad_norm": GradientNorm(),
    "snip": Snip(),
    "synflow": SynFlow(),
    "naswot": Naswot(),
    "jacob_cov": JacobianCovariance(),
    "function": FunctionProxy(fn=lambda model: len([*model.modules()])),
}
STEP = 1e-6


class Mlp(nn.Module):
    """Two layers, with a function as its activation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 7)
        self.second = nn.Linear(7, 3)

    def forward(self, x):
        return self.second(functional.relu(self.first(x)))


class Mixed(nn.Module):
    """A norm, one ReLU that is used twice, a layer that is used twice, a frozen one, an unused one,
    and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.act = nn.ReLU(inplace=True)
        self.twice = nn.Linear(2, 2)
        self.drop = nn.Dropout(0.5)
        self.frozen = nn.Linear(2, 3).requires_grad_(False)
        self.unused = nn.Linear(9, 9)
        self.act_inputs = []

    def forward(self, x):
        x = self.norm(self.conv(x))
        self.act_inputs = [x.detach().clone()]
        x = self.act(x).mean((2, 3))
        x = self.twice(self.twice(x)) + 0.5
        self.act_inputs.append(x.detach().clone())
        return self.frozen(self.drop(self.act(x)))


def mlp():
    torch.manual_seed(0)
    return Mlp(), (torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2]))


def mixed(dtype=torch.float64):
    torch.manual_seed(1)
    model = Mixed().to(dtype)
    return model, (torch.randn(6, 1, 5, 5, dtype=dtype), torch.tensor([0, 1, 2, 0, 1, 2]))


def losses(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="none")


def score(name, model, batch):
    return PROXIES[name].score(copy.deepcopy(model), batch, losses)


def backpropagated(model, x, y):
    """The gradients of the weights of an MLP, by hand."""
    w1, b1, w2, b2 = (p.detach().numpy().astype(float) for p in model.parameters())
    x = x.numpy().astype(float)
    hidden = x @ w1.T + b1
    logits = numpy.maximum(hidden, 0) @ w2.T + b2
    odds = numpy.exp(logits - logits.max(1, keepdims=True))
    error = (odds / odds.sum(1, keepdims=True) - numpy.eye(3)[y.numpy()]) / len(x)
    below = (error @ w2) * (hidden > 0)
    return [(w1, below.T @ x), (w2, error.T @ numpy.maximum(hidden, 0))]


def differences(values, function):
    """The gradient of a function by numbers of a tensor, which are moved one by one."""
    flat, found = values.data.view(-1), torch.zeros(values.numel(), dtype=torch.float64)
    for i in range(len(flat)):
        before = flat[i].item()
        ends = []
        for end in (before + STEP, before - STEP):
            flat[i] = end
            ends.append(float(function()))
        flat[i] = before
        found[i] = (ends[0] - ends[1]) / (2 * STEP)
    return found.view(values.shape)


def moved(model, batch):
    """The weights of `Mixed` that count, and their gradients by differences."""
    model = copy.deepcopy(model)
    model.train().drop.eval()

    def loss():
        with torch.no_grad():
            return losses(model(batch[0]), batch[1]).mean()

    weights = [model.conv.weight, model.twice.weight]
    return [(w.detach(), differences(w, loss)) for w in weights]


def log_determinant(inputs, ridge=1e-5):
    """Of a matrix that counts equal signs, one by one."""
    rows = [torch.cat([part[i].flatten() for part in inputs]) > 0 for i in range(len(inputs[0]))]
    matrix = numpy.array([[sum(bool(a) == bool(b) for a, b in zip(one, other, strict=True))
                           for other in rows] for one in rows], dtype=float)  # fmt: skip
    return math.log(numpy.linalg.det(matrix + ridge * numpy.eye(len(matrix))))


def of_jacobian(rows):
    correlation = numpy.corrcoef(rows.numpy().astype(float).reshape(len(rows), -1))
    return -sum(math.log(v + 1e-5) + 1 / (v + 1e-5) for v in numpy.linalg.eigvals(correlation).real)


def test_parameters_are_counted():
    assert score("params", *mlp()) == 5 * 7 + 7 + 7 * 3 + 3
    assert score("params", *mixed()) == 2 * 9 + 4 + 6 + 9 + 90


def test_gradients_are_those_of_backpropagation_by_hand():
    model, batch = mlp()
    found = backpropagated(model, *batch)
    norms = sum(math.sqrt((g * g).sum()) for _, g in found)
    assert score("grad_norm", model, batch) == pytest.approx(norms, rel=1e-5)
    saliency = sum(float(numpy.abs(w * g).sum()) for w, g in found)
    assert score("snip", model, batch) == pytest.approx(saliency, rel=1e-5)


def test_gradients_are_those_of_differences_where_layers_are_shared_and_norms_couple_examples():
    model, batch = mixed()
    found = moved(model, batch)
    norms = sum(float(g.norm()) for _, g in found)
    assert norms > 0.01
    assert score("grad_norm", model, batch) == pytest.approx(norms, rel=1e-5)
    saliency = sum(float((w * g).abs().sum()) for w, g in found)
    assert score("snip", model, batch) == pytest.approx(saliency, rel=1e-5)


def test_the_synaptic_flow_is_conserved_by_each_layer():
    model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 6, bias=False),
                          nn.ReLU(), nn.Linear(6, 2, bias=False))  # fmt: skip
    paths = numpy.ones(4)
    for layer in (model[0], model[2], model[4]):
        paths = numpy.abs(layer.weight.detach().numpy().astype(float)) @ paths
    batch = torch.randn(3, 4), torch.zeros(3, dtype=torch.int64)
    assert score("synflow", model, batch) == pytest.approx(3 * paths.sum(), rel=1e-6)


def test_the_synaptic_flow_of_shared_frozen_and_normalized_layers():
    layer = nn.Linear(3, 3, bias=False)
    frozen = nn.Linear(3, 1, bias=False).requires_grad_(False)
    norm = nn.BatchNorm1d(3)
    norm.running_mean.fill_(5.0)
    model = nn.Sequential(layer, norm, nn.ReLU(inplace=True), layer, nn.LayerNorm(3), frozen)
    size = numpy.abs(layer.weight.detach().numpy().astype(float))
    last = numpy.abs(frozen.weight.detach().numpy().astype(float))
    flow = (last @ size @ size @ numpy.ones(3)).sum()
    batch = torch.randn(3, 3), torch.zeros(3, dtype=torch.int64)
    assert score("synflow", model, batch) == pytest.approx(2 * flow, rel=1e-6), "once per use"


def test_the_synaptic_flow_needs_no_examples_but_their_shape_and_counts_what_flows():
    model, batch = mixed(torch.float32)
    found = score("synflow", model, batch)
    assert found > 0 and found == score("synflow", model, (100 * batch[0], batch[1]))
    with torch.no_grad():
        model.conv.weight.mul_(-3)
    assert score("synflow", model, batch) > found, "signs do not matter, sizes do"


def test_codes_are_compared_bit_by_bit():
    model, batch = mlp()
    w1, b1, *_ = (p.detach() for p in model.parameters())
    expected = log_determinant([batch[0] @ w1.T + b1])
    assert score("naswot", model, batch) == pytest.approx(expected, rel=1e-6)


def test_an_activation_counts_each_time_it_is_used_and_behind_norms_of_the_batch():
    model, batch = mixed()
    ran = copy.deepcopy(model)
    ran.train().drop.eval()
    ran(batch[0])
    assert len(ran.act_inputs) == 2
    x = model.conv(batch[0]).detach()
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    by_hand = (x - mean) / (var + 1e-5).sqrt()
    assert torch.allclose(by_hand, ran.act_inputs[0])
    expected = log_determinant([by_hand, ran.act_inputs[1]])
    assert score("naswot", model, batch) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "act", [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), nn.SiLU(), nn.LeakyReLU(), nn.PReLU(),
            nn.ReLU6(), nn.ELU(), nn.Hardswish(), nn.Mish(), nn.Softplus()], ids=repr,
)  # fmt: skip
def test_activations_like_relu_have_its_codes(act):
    model, batch = mlp()
    found = nn.Sequential(model.first, act, model.second)
    assert score("naswot", found, batch) == score("naswot", model, batch)


def test_equal_examples_cost_much_and_not_everything():
    model, (inputs, targets) = mlp()
    twice = inputs.clone()
    twice[1] = twice[0]
    usual, found = (score("naswot", model, (x, targets)) for x in (inputs, twice))
    assert math.isfinite(found) and found < usual - 5


def test_a_model_without_activations_cannot_be_scored_by_their_codes():
    with pytest.raises(ConfigError, match="this model has none"):
        score("naswot", nn.Linear(5, 3), mlp()[1])


def test_the_jacobian_is_that_of_each_example_by_itself():
    model, batch = mlp()
    rows = []
    for x in batch[0]:
        x = x[None].clone().requires_grad_()
        model(x).sum().backward()
        rows.append(x.grad[0])
    expected = of_jacobian(torch.stack(rows))
    assert score("jacob_cov", model, batch) == pytest.approx(expected, rel=1e-4)


def test_the_jacobian_is_that_of_differences_behind_norms_of_the_batch():
    model, batch = mixed()
    ran, inputs = copy.deepcopy(model), batch[0].clone()
    ran.train().drop.eval()

    def total():
        with torch.no_grad():
            return ran(inputs).sum()

    expected = of_jacobian(differences(inputs, total))
    assert score("jacob_cov", model, batch) == pytest.approx(expected, rel=1e-3)


def test_a_jacobian_that_is_zero_and_inputs_without_gradients_are_refused():
    model, (inputs, targets) = mlp()
    with pytest.raises(ConfigError, match="does not depend on some of the examples"):
        dead = copy.deepcopy(model)
        dead.first.bias.data.fill_(-100)
        score("jacob_cov", dead, (inputs, targets))
    embedding = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))
    with pytest.raises(ConfigError, match=r"these are torch\.int64"):
        score("jacob_cov", embedding, (torch.ones(6, 5, dtype=torch.int64), targets))


def test_indices_as_inputs_flow_through_an_embedding():
    embedding = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3, bias=False))
    batch = torch.ones(6, 5, dtype=torch.int64), torch.zeros(6, dtype=torch.int64)
    row = embedding[0].weight[1].abs().detach().repeat(5)
    flow = float((embedding[2].weight.abs().detach() @ row).sum())
    assert score("synflow", embedding, batch) == pytest.approx(2 * flow, rel=1e-6)


def test_a_function_of_the_user_is_one_too():
    assert score("function", *mlp()) == 3


@pytest.mark.parametrize("name", PROXIES)
def test_a_score_does_not_depend_on_the_mode_of_the_model_and_is_the_same_again(name):
    model, batch = mixed(torch.float32)
    before = torch.get_default_dtype()
    found = [score(name, model.train(mode), batch) for mode in (True, False)]
    assert found[0] == found[1] and math.isfinite(found[0])
    assert torch.get_default_dtype() == before and torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["grad_norm", "snip", "synflow"])
def test_a_model_without_weights_scores_nothing(name):
    assert score(name, nn.Flatten(), (torch.randn(2, 3), torch.tensor([0, 1]))) == 0


def test_what_needs_the_loss_and_what_needs_no_examples_says_so():
    assert {name for name, one in PROXIES.items() if one.needs_loss} == {"grad_norm", "snip"}
    assert {name for name, one in PROXIES.items() if not one.runs} == {"params", "function"}
