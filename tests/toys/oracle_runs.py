"""Runs of a model beside those of its source: what a call gives and changes, and its gradients."""

import copy
import random
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from runner.errors import one_line
from runner.graph import load_source

RTOL, ATOL = 1e-4, 1e-5
HUGE = 1e12
PLAIN = (bool, int, float, complex, str, type(None))  # a value choice derives from one of them


@final
@dataclass
class Call:
    """The arguments of a call."""

    args: tuple[Any, ...]
    named: Mapping[str, Any] = field(default_factory=dict)


Calls = Callable[[], Sequence[Call]]  # all calls, their arguments made anew
Run = dict[str, Any]  # what a call gave: tensors and plain values, by where they stand
Place = tuple[int, bool]  # number of a call, and whether the model is training


@final
@dataclass
class Running:
    """Runs the calls of a model, each in both modes and in time."""

    calls: Calls
    seconds: int

    def places(self) -> list[Place]:
        numbers = range(len(self.calls()))
        return [(number, training) for number in numbers for training in (False, True)]

    def eager(self, model: nn.Module, number: int, training: bool) -> Run | Exception | None:
        """How Python runs a call, or what it raises; None where its numbers run away. Raises
        TimeoutError where it takes too long."""
        try:
            run = self.run(copy.deepcopy(model), number, training)
        except TimeoutError:
            raise
        except Exception as error:
            return error
        huge = any(isinstance(leaf, int | float) and abs(leaf) > HUGE for leaf in run.values())
        return None if huge or any(map(_runs_away, run.values())) else run

    def difference(self, twin: nn.Module, expected: Mapping[Place, Run]) -> str:
        """The first difference between what a twin does and what is expected; empty when there is
        none."""
        for place, theirs in expected.items():
            if wrong := unlike(self.run(copy.deepcopy(twin), *place), theirs):
                return f"{_named(place)}: {wrong}"
        return ""

    def unraised(self, twin: nn.Module, expected: Mapping[Place, Exception]) -> str:
        """The first error that is expected of a twin, but is not raised; empty when there is
        none."""
        for place, error in expected.items():
            try:
                self.run(copy.deepcopy(twin), *place)
            except Exception:  # it need not have the same words
                continue
            return f"{_named(place)}: it does not raise {one_line(error)}"
        return ""

    def run(self, model: nn.Module, number: int, training: bool) -> Run:
        """What a call gives and changes, and with gradients where the model is training."""
        model.train(training)
        call = self.calls()[number]
        given = (call.args, {**call.named})
        starts = [t for _, t in leaves(given) if training and _takes_gradient(t)]
        for start in starts:
            start.requires_grad_()
        with torch.set_grad_enabled(training), in_time(self.seconds), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            args, named = tree_map_only(Tensor, torch.clone, given)  # may be changed in place
            seed()
            outputs = dict(leaves(model(*args, **named))) | dict(leaves((args, named), "input"))
            state = {f"state {name}": value for name, value in model.state_dict().items()}
            run = outputs | {k: v for k, v in state.items() if torch.is_tensor(v)}
            run = {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in run.items()}
            return run | _gradients(model, starts, outputs) if training else run


def twin_of(model: nn.Module, text: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """What a source makes, with the values of a model."""
    twin = load_source(text, tensors).build()
    twin.load_state_dict(model.state_dict())
    return twin


def _named(place: Place) -> str:
    number, training = place
    return f"call {number}, {'train' if training else 'eval'} mode"


def _runs_away(leaf: Any) -> bool:
    if not isinstance(leaf, Tensor) or not leaf.is_floating_point() or not leaf.numel():
        return False
    return bool(leaf.detach().to_dense().abs().nan_to_num(0).max() > HUGE)


def seed() -> None:
    """Let all random numbers begin anew."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


def _takes_gradient(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _gradients(model: nn.Module, starts: Sequence[Tensor], outputs: Run) -> Run:
    named = {f"gradient {n}": p for n, p in model.named_parameters() if p.requires_grad}
    named |= {f"gradient of input {i}": start for i, start in enumerate(starts)}
    total = torch.zeros(())
    for number, leaf in enumerate(outputs.values()):
        if _takes_gradient(leaf) and leaf.requires_grad and leaf.numel():
            weights = torch.linspace(0.5, 1.5 + number % 3, leaf.numel()).view(leaf.shape)
            total = total + (leaf.float() * weights).mean()
    if not named or not total.requires_grad:
        return {}
    found = torch.autograd.grad(total, [*named.values()], allow_unused=True)
    return dict(zip(named, found, strict=True))


@contextmanager
def in_time(seconds: int) -> Iterator[None]:
    """Raises TimeoutError in code that takes longer."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"it takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Comparing


def leaves(thing: Any, path: str = "output") -> Iterator[tuple[str, Any]]:
    """Tensors and plain values, by where they stand."""
    if isinstance(thing, Mapping):
        for key, item in thing.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(thing, list | tuple):
        yield f"len({path})", len(thing)
        for number, item in enumerate(thing):
            yield from leaves(item, f"{path}[{number}]")
    else:
        yield path, thing


def unlike(ours: Run, theirs: Run) -> str:
    """The first difference between two runs; empty when there is none."""
    for name in theirs:
        if name not in ours:
            return f"{name} is missing"
        one, other = ours[name], theirs[name]
        if not _equal(one, other):
            return f"{name} is {_short(one)}, not {_short(other)}"
    return next((f"{name} is there" for name in ours if name not in theirs), "")


def _equal(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        kinds = [
            next((k for k in PLAIN if isinstance(each, k)), type(each)) for each in (one, other)
        ]
        if kinds[0] not in PLAIN or kinds[0] is not kinds[1]:
            return kinds[0].__name__ == kinds[1].__name__
        return _near(one, other) or one != one
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = (t.to_dense() if t.is_sparse or t.is_quantized else t for t in (one, other))
    if one.is_floating_point() or one.is_complex():
        return torch.allclose(one, other, rtol=RTOL, atol=ATOL, equal_nan=True)
    return torch.equal(one, other)


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, float):
        return one == other or abs(one - other) <= ATOL + RTOL * abs(other)
    return bool(one == other)


def _short(thing: Any) -> str:
    if isinstance(thing, Tensor):
        values = " ".join(str(thing.detach().flatten()[:6].tolist()).split())
        return f"{str(thing.dtype).removeprefix('torch.')}{[*thing.shape]} {values}"
    return f"{thing!r:.80}"
