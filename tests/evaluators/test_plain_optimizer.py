"""Optimizers without the hooks of the compiler take the same steps, and do not import it."""

import copy
import gc
import inspect
import subprocess
import sys
import textwrap
import weakref
from functools import partial

import pytest
import torch
from torch import nn

from runner.evaluators import plain_optimizer
from runner.evaluators.plain_optimizer import make_plain

# All optimizers of torch whose steps need no closure, with arguments that take other ways.
KINDS = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "SparseAdam")
}  # fmt: skip
WAYS = [
    *((name, {}) for name in KINDS),
    *((name, {"fused": True}) for name in ("Adam", "AdamW", "SGD", "Adagrad")),
    *((name, {"foreach": True}) for name in ("AdamW", "SGD", "RMSprop", "NAdam")),
    ("AdamW", {"differentiable": False, "amsgrad": True}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
]


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    """As if the compiler were not imported yet, although other tests may have done so."""
    monkeypatch.setattr(plain_optimizer, "COMPILER", "torch._never_imported")


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 2, bias=False))


def trained(make):
    """Weights and state after some steps of training."""
    net = model()
    optimizer = make([*net.parameters()])
    for _ in range(5):
        optimizer.zero_grad()
        net(torch.ones(2, 3)).square().sum().backward()
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        optimizer.step()
    return [p.detach() for p in net.parameters()], optimizer


@pytest.mark.parametrize(("name", "settings"), WAYS)
def test_the_steps_are_those_of_torch_bit_by_bit(name, settings):
    make = partial(KINDS[name], **settings)
    ours, plain = trained(partial(make_plain, make, lr=0.05))
    theirs, usual = trained(partial(make, lr=0.05))
    assert type(plain) is type(usual) and repr(plain) == repr(usual)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    states = [one.state_dict() for one in (plain, usual)]
    assert str(states[0]) == str(states[1])


def test_hooks_of_a_step_run_once():
    optimizer = make_plain(torch.optim.SGD, model().parameters(), lr=0.1)
    seen = []
    optimizer.register_step_pre_hook(lambda *given: seen.append("before"))
    optimizer.register_step_post_hook(lambda *given: seen.append("after"))
    optimizer.step()
    assert seen == ["before", "after"]


def test_a_step_leaves_the_grad_mode_alone():
    parameters = [*model().parameters()]
    optimizer = make_plain(torch.optim.AdamW, parameters, lr=0.1)
    sum(p.sum() for p in parameters).backward()
    optimizer.step()
    assert torch.is_grad_enabled()


def test_an_optimizer_is_freed_with_its_last_name():
    optimizer = make_plain(torch.optim.AdamW, model().parameters(), lr=0.1)
    gone = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer
        assert gone() is None
    finally:
        gc.enable()


def test_a_copy_is_an_optimizer_of_its_own():
    parameters = [*model().parameters()]
    optimizer = make_plain(torch.optim.SGD, parameters, lr=0.1)
    other = copy.deepcopy(optimizer)
    before = [p.detach().clone() for p in parameters]
    for group in other.param_groups:
        for p in group["params"]:
            p.grad = torch.ones_like(p)
    other.step()
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))


class Mine(torch.optim.SGD):
    """A user's own, whose step is no business of ours."""

    def step(self, closure=None):
        self.was_called = True
        return super().step(closure)


def test_a_class_of_a_user_is_made_as_usual():
    optimizer = make_plain(Mine, model().parameters(), lr=0.1)
    optimizer.step()
    assert optimizer.was_called and "step" not in vars(optimizer)


def test_training_does_not_import_the_compiler():
    """In a process of its own, with each optimizer of torch."""
    code = textwrap.dedent(f"""
        import sys
        import torch
        from runner.evaluators.plain_optimizer import make_plain
        for name in {[*KINDS]}:
            weights = torch.ones(2, 2, requires_grad=True)
            optimizer = make_plain(getattr(torch.optim, name), [weights], lr=0.1)
            optimizer.zero_grad()
            weights.sum().backward()
            optimizer.step()
        assert "torch._dynamo" not in sys.modules
        torch.optim.SGD([weights])
        assert "torch._dynamo" in sys.modules, "plain_optimizer.py is not needed any more"
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
