"""Optimizers and schedules are tried before a search, without the compiler of torch."""

import math
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import torch

from runner.errors import ConfigError
from runner.evaluators.arguments import PROVEN, check_optimizer, check_schedule, make_probe
from runner.evaluators.schedule import Constant, Cosine, Linear


@pytest.mark.parametrize("kind", PROVEN, ids=lambda kind: kind.__name__)
def test_what_need_not_be_tried_takes_a_step(kind: Any) -> None:
    check_optimizer(partial(kind), 0.01)
    weight = torch.ones(2, 2, requires_grad=True)
    weight.grad = torch.ones(2, 2)
    made = kind([weight], lr=0.01)
    for _ in range(3):
        made.step()
    assert weight.isfinite().all() and not torch.equal(weight, torch.ones(2, 2))


def test_every_other_optimizer_of_torch_is_accepted_or_refused_in_one_line() -> None:
    kinds = [k for k in vars(torch.optim).values() if isinstance(k, type)]
    for kind in kinds:
        if issubclass(kind, torch.optim.Optimizer) and kind not in PROVEN:
            try:
                check_optimizer(partial(kind), 0.01)
            except ConfigError as error:
                assert "evaluator.optimizer" in str(error) and "\n" not in str(error)


def test_a_probe_has_the_groups_of_the_optimizer() -> None:
    weights = [torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)]
    make = partial(torch.optim.SGD, momentum=0.9)
    [ours], [theirs] = (
        m.param_groups for m in (make_probe(make, weights, 0.1), make(weights, 0.1))
    )
    assert ours.keys() == theirs.keys()
    assert {k: ours[k] for k in ours if k != "params"} == {
        k: theirs[k] for k in theirs if k != "params"
    }


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (partial(torch.optim.SGD, weight_decay=math.inf), "weight_decay is inf; it must be a"),
        (partial(torch.optim.SGD, weight_decay=math.nan), "weight_decay is nan"),
        (partial(torch.optim.SGD, weight_decay=101), "weight_decay is 101; it must be at most 1 /"),
        (partial(torch.optim.Adam, betas=(0.9, math.nan)), r"optimizer.betas\[1\] is nan"),
        (partial(torch.optim.Adam, eps=1e30), "optimizer.eps is 1e\\+30"),
        (partial(torch.optim.Adafactor, d=1e30), "optimizer.d is 1e\\+30"),
        (partial(torch.optim.SGD, bogus=1), "unexpected keyword argument 'bogus'"),
        (partial(torch.nn.ReLU), "which is no optimizer"),
        (lambda parameters, lr: 3, "which is no optimizer"),
    ],
)
def test_what_cannot_train_is_refused(make: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_optimizer(make, 0.01)


class Counting(torch.optim.SGD):
    """Takes a number of steps, and a bound that may be infinite."""

    def __init__(self, params: Any, lr: float, total: int, bound: float) -> None:
        super().__init__(params, lr=lr)


def counting(params: Any, lr: float, total: int, bound: float) -> torch.optim.Optimizer:
    return Counting(params, lr, total, bound)


@pytest.mark.parametrize("make", [Counting, counting])
def test_numbers_of_other_optimizers_mean_what_their_authors_say(make: Any) -> None:
    check_optimizer(partial(make, total=5_000_000, bound=math.inf), 0.01)


@pytest.mark.parametrize("schedule", [Constant(0.1), Linear(0, 0), Cosine(0.5, 1)])
def test_schedules_of_ours_are_right(schedule: Any) -> None:
    check_schedule(schedule)


@pytest.mark.parametrize(
    "schedule", [lambda s, n: -1, lambda s, n: math.nan, lambda s: 1, lambda s, n: None, 3]
)
def test_wrong_schedules_are_refused(schedule: Any) -> None:
    with pytest.raises(ConfigError, match=r"evaluator.schedule (is|cannot be used)"):
        check_schedule(schedule)


def test_the_compiler_is_not_imported() -> None:
    script = (
        "import sys, torch\nfrom functools import partial\n"
        "from runner.evaluators.arguments import check_optimizer\n"
        "check_optimizer(partial(torch.optim.AdamW, weight_decay=0.01), 0.01)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
