"""Models with packed parameters are trained as each would be by its own optimizer."""

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.fusion.optimizers.flat import Flat
from runner.fusion.optimizers.group_optimizer import Separate, Stacked
from runner.fusion.optimizers.select import stacked
from runner.fusion.packing.packing import Packed, pack

Make = Callable[..., Optimizer]

ADAM, ADAMW, SGD = torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD
APART: dict[str, list[Make]] = {  # three models with unequal settings
    "adam": [
        partial(ADAM, betas=(0.9, 0.999), weight_decay=0.1),
        partial(ADAM, betas=(0.8, 0.99), eps=1e-4),
        partial(ADAM, betas=(0.7, 0.9), weight_decay=0.01),
    ],
    "adam, equal": [ADAM] * 3,
    "adam, fused": [partial(ADAM, weight_decay=w, fused=True) for w in (0.0, 0.1, 0.2)],
    "adamw": [
        partial(ADAMW, betas=(0.9, 0.999), weight_decay=0.1),
        partial(ADAMW, betas=(0.8, 0.99), eps=1e-4),
        partial(ADAMW, betas=(0.7, 0.9), weight_decay=0.0),
    ],
    "sgd": [partial(SGD, weight_decay=w) for w in (0.0, 0.1, 0.01)],
    "sgd, plain": [SGD] * 3,
    "sgd, momentum": [partial(SGD, momentum=m, weight_decay=m / 10) for m in (0.5, 0.9, 0.99)],
    "sgd, nesterov": [partial(SGD, momentum=m, nesterov=True) for m in (0.5, 0.9, 0.99)],
    "amsgrad": [partial(ADAM, amsgrad=True)] * 3,
    "sgd, dampening": [partial(SGD, momentum=0.9, dampening=0.1)] * 3,
    "rmsprop": [partial(torch.optim.RMSprop, alpha=a) for a in (0.9, 0.99, 0.5)],
}
FLAT = [name for name in APART if name not in ("amsgrad", "sgd, dampening", "rmsprop")]
RATES = [0.1, 0.03, 0.003]


class Net(nn.Module):
    """A convolution, a linear layer, and a number of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.linear = nn.Linear(5, 4)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.conv.to(memory_format=torch.channels_last)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.conv(x).relu().mean((2, 3))) * self.scale


def packed_of(nets: Sequence[Net]) -> list[Packed]:
    """Convolutions side by side, linear layers on top of each other, the rest alone."""
    cat = [[(i, own) for i, net in enumerate(nets) for own in [p(net)]] for p in CAT]
    heap = [[(i, own) for i, net in enumerate(nets) for own in [p(net)]] for p in STACK]
    alone = [Packed(net.scale, ((i, net.scale),)) for i, net in enumerate(nets)]
    return [pack(o, "cat") for o in cat] + [pack(o, "stack") for o in heap] + alone


CAT = [lambda net: net.conv.weight, lambda net: net.conv.bias]
STACK = [lambda net: net.linear.weight, lambda net: net.linear.bias]


def forward(nets: Sequence[Net], packed: Sequence[Packed], x: Tensor) -> list[Tensor]:
    """What all nets answer, from the packed parameters."""
    k = len(nets)
    weight, bias, linear, shift = (pack.tensor for pack in packed[:4])
    h = nn.functional.conv2d(x, weight, bias, padding=1).relu().mean((2, 3))
    y = torch.baddbmm(shift[:, None], h.view(len(x), k, -1).transpose(0, 1), linear.mT)
    return [part * net.scale for part, net in zip(y, nets, strict=True)]


def loss_of(output: Tensor) -> Tensor:
    return (output - 1).square().mean()


def inputs(step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(6, 3, 4, 4, dtype=torch.float64, generator=generator)


def optimizers_of(nets: Sequence[Net], makes: Sequence[Make]) -> list[Optimizer]:
    return [make(net.parameters(), lr=0.1) for net, make in zip(nets, makes, strict=True)]


class Group:
    """Nets trained together."""

    def __init__(self, nets: Sequence[Net], optimizers: Sequence[Optimizer]) -> None:
        self.nets = nets
        self.packed = packed_of(nets)
        self.stacked: Stacked = stacked(self.packed, optimizers)

    def step(
        self,
        step: int,
        lrs: Sequence[float] = RATES,
        alive: Sequence[bool] | None = None,
        norms: Sequence[float | None] | None = None,
        spoiled: int | None = None,
        left_out: int | None = None,
    ) -> None:
        self.stacked.zero_grad()
        losses = [loss_of(y) for y in forward(self.nets, self.packed, inputs(step))]
        if spoiled is not None:
            losses[spoiled] = losses[spoiled] * math.nan
        sum(loss for i, loss in enumerate(losses) if i != left_out).backward()
        if norms is not None:
            self.stacked.clip(norms)
        self.stacked.step(lrs, alive or [True] * len(self.nets))


def alone_step(
    net: Net, optimizer: Optimizer, step: int, lr: float, norm: float | None = None
) -> None:
    optimizer.zero_grad()
    loss_of(net(inputs(step))).backward()
    if norm is not None:
        nn.utils.clip_grad_norm_(net.parameters(), norm)
    optimizer.param_groups[0]["lr"] = lr
    optimizer.step()


def assert_equal(net: Net, other: Net, atol: float = 1e-12) -> None:
    for (name, mine), theirs in zip(net.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=atol, msg=name)


def pair(makes: Sequence[Make]) -> tuple[Group, list[Net], list[Optimizer]]:
    """A group, and the same nets with optimizers alone."""
    nets = [Net(seed) for seed in range(3)]
    others = copy.deepcopy(nets)
    return Group(nets, optimizers_of(nets, makes)), others, optimizers_of(others, makes)


@pytest.mark.parametrize("name", APART)
def test_twenty_steps_are_those_of_separate_optimizers(name: str) -> None:
    group, others, optimizers = pair(APART[name])
    assert isinstance(group.stacked, Flat if name in FLAT else Separate)
    norms = [None, 0.1, 0.5]
    for step in range(20):
        lrs = [lr * (1 - step / 40) for lr in RATES]
        group.step(step, lrs, norms=norms)
        for net, optimizer, lr, norm in zip(others, optimizers, lrs, norms, strict=True):
            alone_step(net, optimizer, step, lr, norm)
    for net, other in zip(group.nets, others, strict=True):
        assert_equal(net, other)


@pytest.mark.parametrize("name", FLAT)
def test_equal_settings_are_stepped_as_separately(name: str) -> None:
    group, others, optimizers = pair([APART[name][1]] * 3)
    for step in range(20):
        group.step(step, [0.01] * 3, norms=[0.2] * 3)
        for net, optimizer in zip(others, optimizers, strict=True):
            alone_step(net, optimizer, step, 0.01, 0.2)
    for net, other in zip(group.nets, others, strict=True):
        assert_equal(net, other)


@pytest.mark.parametrize("left_out", [False, True])  # its loss, from the sum
@pytest.mark.parametrize("lrs", [RATES, [0.01] * 3])
@pytest.mark.parametrize("name", APART)
def test_model_that_pauses_stays_as_it_is_and_goes_on(
    name: str, lrs: list[float], left_out: bool
) -> None:
    group, others, optimizers = pair(APART[name])
    for step in range(12):
        alive = [True, not 3 <= step < 6, True]
        before = copy.deepcopy(group.nets[1].state_dict()), group.stacked.export(1)
        group.step(step, lrs, alive, left_out=1 if left_out and not alive[1] else None)
        if not alive[1]:
            after = group.nets[1].state_dict(), group.stacked.export(1)
            torch.testing.assert_close(after, before, rtol=0, atol=0)
        for i, lives in enumerate(alive):
            if lives:
                alone_step(others[i], optimizers[i], step, lrs[i])
    for net, other in zip(group.nets, others, strict=True):
        assert_equal(net, other)


@pytest.mark.parametrize("lrs", [RATES, [0.01] * 3])
@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("name", APART)
def test_nan_of_one_leaves_the_others_bit_identical(
    name: str, dies: bool, lrs: list[float]
) -> None:
    healthy, ill = pair(APART[name])[0], pair(APART[name])[0]
    for step in range(6):
        healthy.step(step, lrs, norms=[0.1] * 3)
        alive = [True, not (dies and step > 2), True]
        ill.step(step, lrs, alive, norms=[0.1] * 3, spoiled=1 if step > 1 else None)
    assert not torch.stack([p.isfinite().all() for p in ill.nets[1].parameters()]).all()
    for i in (0, 2):
        assert_equal(ill.nets[i], healthy.nets[i], atol=0)


@pytest.mark.parametrize("name", APART)
def test_fewer_models_packed_anew_go_on_as_before(name: str) -> None:
    group, others, optimizers = pair(APART[name])
    for step in range(4):
        group.step(step)
        for net, optimizer, lr in zip(others, optimizers, RATES, strict=True):
            alone_step(net, optimizer, step, lr)
    group.stacked.release()
    kept = [group.stacked.optimizers[i] for i in (0, 2)]
    smaller = Group([group.nets[0], group.nets[2]], kept)
    for step in range(4, 10):
        smaller.step(step, [RATES[0], RATES[2]])
        for i in (0, 2):
            alone_step(others[i], optimizers[i], step, RATES[i])
    assert_equal(smaller.nets[0], others[0])
    assert_equal(smaller.nets[1], others[2])


@pytest.mark.parametrize("name", APART)
def test_exported_state_loads_into_a_plain_optimizer(name: str) -> None:
    group, others, optimizers = pair(APART[name])
    for step in range(4):
        group.step(step)
    for i, (other, optimizer) in enumerate(zip(others, optimizers, strict=True)):
        other.load_state_dict(group.nets[i].state_dict())
        optimizer.load_state_dict(group.stacked.export(i))
        assert optimizer.param_groups[0]["lr"] == RATES[i]
    for step in range(4, 8):
        group.step(step)
        for net, optimizer, lr in zip(others, optimizers, RATES, strict=True):
            alone_step(net, optimizer, step, lr)
    for net, other in zip(group.nets, others, strict=True):
        assert_equal(net, other)


@pytest.mark.parametrize("name", APART)
def test_parameter_without_gradient_is_left_out_of_the_step(name: str) -> None:
    group, others, optimizers = pair(APART[name])
    for step in range(9):
        used = step not in (0, 4, 5)  # of net 1, its scale
        group.stacked.zero_grad()
        group.nets[1].scale.requires_grad_(used)
        sum(map(loss_of, forward(group.nets, group.packed, inputs(step)))).backward()
        group.nets[1].scale.requires_grad_(True)
        group.stacked.step(RATES, [True] * 3)
        others[1].scale.requires_grad_(used)
        for net, optimizer, lr in zip(others, optimizers, RATES, strict=True):
            alone_step(net, optimizer, step, lr)
    for net, other in zip(group.nets, others, strict=True):
        assert_equal(net, other)


def test_models_may_be_run_by_themselves() -> None:
    group, others, optimizers = pair(APART["adam"])
    for step in range(5):
        group.stacked.zero_grad()
        for net in group.nets:
            loss_of(net(inputs(step))).backward()
        group.stacked.step(RATES, [True] * 3)
        for net, optimizer, lr in zip(others, optimizers, RATES, strict=True):
            alone_step(net, optimizer, step, lr)
    for net, other in zip(group.nets, others, strict=True):
        assert_equal(net, other)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_gradients_stay_in_their_memory_or_are_brought_back(name: str) -> None:
    group, others, optimizers = pair(APART[name])
    leaves = [pack.tensor for pack in group.packed]
    places = [leaf.grad.data_ptr() for leaf in leaves]
    for step in range(4):
        if step == 2:  # as a loss that needs gradients of gradients does
            leaves[0].grad = None
        group.step(step)
        assert [leaf.grad.data_ptr() for leaf in leaves] == places
        for net, optimizer, lr in zip(others, optimizers, RATES, strict=True):
            alone_step(net, optimizer, step, lr)
    assert group.nets[1].conv.weight.grad.data_ptr() != places[0]
    torch.testing.assert_close(group.nets[0].conv.weight.grad, leaves[0].grad[:5])
    for net, other in zip(group.nets, others, strict=True):
        assert_equal(net, other)


def test_autograd_adds_in_place_to_every_kind_of_gradient() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    spread, turned = nn.Parameter(torch.ones(4)), nn.Parameter(torch.randn(3, 4))
    tensors = [table.weight, spread, turned]
    own: Any = [Packed(tensor, ((0, tensor),)) for tensor in tensors]
    group = stacked(own, [SGD(tensors, lr=1.0)])
    places = [tensor.grad for tensor in tensors]
    group.zero_grad()
    loss = table(torch.tensor([1, 1])).sum() + spread.expand(3, 4).sum()
    (loss + (turned.t() @ torch.ones(3, 2)).sum()).backward()
    assert all(tensor.grad is place for tensor, place in zip(tensors, places, strict=True))
    assert table.weight.grad[1].tolist() == [2.0, 2.0, 2.0]
    assert spread.grad.tolist() == [3.0] * 4
    assert turned.grad.unique().tolist() == [2.0]


def test_large_models_with_unequal_rates_are_stepped_as_separately() -> None:
    owns = [nn.Parameter(torch.randn(100, 100, dtype=torch.float64)) for _ in range(3)]
    others = copy.deepcopy(owns)
    group = stacked([pack(list(enumerate(owns)), "stack")], [ADAM([own]) for own in owns])
    optimizers = [ADAM([other]) for other in others]
    norms = [None, 10.0, 1e9]
    for step in range(6):
        lrs = [0.1, 0.1, 0.1] if step in (0, 3) else [0.1, 0.2, 0.3]
        for i in range(3):
            owns[i].grad.copy_(owns[i].detach())
            others[i].grad = others[i].detach().clone()
            if norms[i] is not None:
                nn.utils.clip_grad_norm_([others[i]], norms[i])
            optimizers[i].param_groups[0]["lr"] = lrs[i]
            optimizers[i].step()
        group.clip(norms)
        group.step(lrs, [True] * 3)
    for own, other in zip(owns, others, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-12)


def test_frozen_parameters_do_not_move() -> None:
    frozen = [nn.Parameter(torch.ones(3), requires_grad=False) for _ in range(2)]
    free = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    packed = [pack(list(enumerate(own)), "cat") for own in (frozen, free)]
    assert not packed[0].tensor.requires_grad
    assert packed[0].tensor.grad is None
    group = stacked(packed, [ADAM([own], weight_decay=0.1) for own in free])
    for own in free:
        own.grad.fill_(1.0)
    group.step([0.1, 0.2], [True, True])
    assert packed[0].tensor.tolist() == [1.0] * 6
    assert all(not tensor.eq(1.0).any() for tensor in free)


def test_parameter_packed_twice_is_refused() -> None:
    own = nn.Parameter(torch.ones(3))
    packed = [Packed(own, ((0, own),))] * 2
    with pytest.raises(ValueError, match="Of 2 packed parameters, 1 are packed twice"):
        stacked(packed, [ADAM([own])])
