"""Checks of the optimizer and the schedule of a config, on a parameter of four numbers."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from runner.errors import ConfigError, as_yaml, one_line, require
from runner.unregistered import unregistered

LARGEST = 1e6  # of the numbers that an optimizer of torch is given; others may count steps, say

# They take a step with whatever their constructors accept. Others are tried: a step of SparseAdam
# takes sparse gradients only, and users' classes may raise.
PROVEN = (
    torch.optim.Adadelta, torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW,
    torch.optim.Adamax, torch.optim.ASGD, torch.optim.NAdam, torch.optim.RAdam,
    torch.optim.RMSprop, torch.optim.Rprop, torch.optim.SGD,
)  # fmt: skip


def check_optimizer(make: Callable[..., Optimizer], lr: float) -> None:
    """Raises ConfigError unless `make(parameters, lr=lr)` returns an optimizer that can take a
    step."""
    kind = getattr(make, "func", make)
    of_torch = str(getattr(kind, "__module__", "")).startswith("torch.")
    bounded = getattr(make, "keywords", {}) if of_torch else {}
    for name, value in _numbers(bounded, "evaluator.optimizer"):
        rule = f"a finite number of at most {LARGEST:g}"
        require(math.isfinite(value) and abs(value) <= LARGEST, name, value, rule)
    if isinstance(kind, type) and not issubclass(kind, Optimizer):
        raise _no_optimizer(kind)
    given = getattr(make, "keywords", {})
    if "lr" in given:
        raise ConfigError(
            f"evaluator.optimizer.lr is {as_yaml(given['lr'])}, but the learning rate is set by "
            "evaluator.lr; leave evaluator.optimizer.lr out."
        )
    weight = torch.ones(2, 2, requires_grad=True)
    try:
        made: object = make_probe(make, [weight], lr)
        if isinstance(made, Optimizer) and kind not in PROVEN:
            weight.grad = torch.ones(2, 2)
            made.step()
    except Exception as error:
        raise ConfigError(
            f"evaluator.optimizer ({_name(kind)}) cannot be used: {one_line(error)}"
        ) from error
    if not isinstance(made, Optimizer):
        raise _no_optimizer(kind)
    _check_decay(made, lr)


def _no_optimizer(kind: Any) -> ConfigError:
    return ConfigError(
        f"evaluator.optimizer is {_name(kind)}, which is no optimizer; choose one such as "
        "torch.optim.AdamW."
    )


def _check_decay(made: Optimizer, lr: float) -> None:
    """Raises ConfigError for a decay that reverses the weights in each step."""
    decay = made.defaults.get("weight_decay")
    if isinstance(decay, int | float):
        rule = f"at most 1 / evaluator.lr, which is {1 / lr:g}"
        require(lr * decay <= 1, "evaluator.optimizer.weight_decay", decay, rule)


def make_probe(make: Callable[..., Any], weights: Sequence[Tensor], lr: float) -> Any:
    """Returns `make(weights, lr=lr)`. An optimizer is one that stores parameters by a method of
    its own: torch's imports the compiler, which takes 1 to 3 seconds."""
    kind = getattr(make, "func", None)
    if not (isinstance(make, partial) and isinstance(kind, type) and issubclass(kind, Optimizer)):
        return make(weights, lr=lr)
    probe: Any = unregistered(type, kind.__name__, (kind,), {"add_param_group": _add_group})
    return probe(weights, *make.args, lr=lr, **make.keywords)


def _add_group(self: Optimizer, group: dict[str, Any]) -> None:
    self.param_groups.append({**self.defaults, **group, "params": [*group["params"]]})


def check_schedule(schedule: Callable[[int, int], float]) -> None:
    """Raises ConfigError unless a schedule returns numbers, 0 or more, at the start, in the middle
    and at the end."""
    for step in (0, 5, 9):
        try:
            factor = float(schedule(step, 10))
        except Exception as error:
            raise ConfigError(
                f"evaluator.schedule cannot be used: it is called with the step and the number of "
                f"all steps, and raised {one_line(error)}"
            ) from error
        if not 0 <= factor < math.inf:
            raise ConfigError(
                f"evaluator.schedule is {factor} at step {step} of 10; it must be 0 or more, and "
                "finite."
            )


def _numbers(value: object, name: str) -> Iterator[tuple[str, float]]:
    """Yields all numbers of an argument, also those in lists, each with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{name}[{i}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


def check_closure(kind: Any) -> None:
    """Raises ConfigError for an optimizer class whose step requires a closure."""
    step = getattr(kind, "step", None)
    closure = inspect.signature(step).parameters.get("closure") if step is not None else None
    if closure is not None and closure.default is closure.empty:
        raise ConfigError(
            f"evaluator.optimizer is {kind.__name__}, whose step requires a closure. Choose "
            "another one, or train with evaluator=function."
        )


def _name(kind: Any) -> str:
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', repr(kind))}"
