"""Runs two models on the same inputs from the same state, and reports differences."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, TypeVar, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from runner.errors import GraphError, one_line
from runner.nn.recording.construction_record import KEY
from runner.nn.values.value import is_decided

RTOL, ATOL = 1e-4, 1e-5
MODES = {"eval": False, "train": True}
SEED = 0
OWN = frozenset(vars(nn.Module())) - {
    "training"
}  # attributes of every module, which no forward sets
NamedLeaves = dict[str, Any]  # path -> tensor or plain value


T = TypeVar("T")


class CannotRun(GraphError):
    """The model does not run on the example, so that nothing can be compared."""


@final
@dataclass
class ModelRun:
    """The results of one run of a model: outputs, gradients, buffers, and the random state after
    it."""

    outputs: NamedLeaves
    gradients: NamedLeaves
    buffers: NamedLeaves
    draws: NamedLeaves = field(default_factory=dict)  # the next number of each random generator


def run(
    model: nn.Module,
    inputs: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    mode: str,
    inner: NamedLeaves | None = None,
) -> ModelRun:
    """Runs a model on copies of the inputs, in "eval" or "train" mode, with every random generator
    seeded; in train mode also computes gradients of all parameters and floating-point inputs.

    `inner` may be filled during the run with inner tensors that contribute to the gradients:
    those of outputs alone vanish at a weight of zero.
    """
    training = MODES[mode]
    model.train(training)
    given = copy.deepcopy((tuple(inputs), dict(kwargs)))
    starts = {n: x for n, x in leaves(given, "input") if training and _takes_gradient(x)}
    for start in starts.values():
        start.requires_grad_()
    with torch.set_grad_enabled(training):
        args, named = tree_map_only(
            Tensor, torch.clone, given
        )  # which the model may modify in place
        with seeded():
            outputs = dict(leaves(model(*args, **named))) | dict(leaves((args, named), "input"))
            draws = next_draws()
    gradients = gradients_of(model, starts, outputs | (inner or {})) if training else {}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return ModelRun(
        {name: detached(leaf) for name, leaf in outputs.items()}, gradients, buffers, draws
    )


def in_each_mode(model: nn.Module, go: Callable[[str], T]) -> tuple[dict[str, T], str]:
    """Returns `go(mode)` for each mode in which the model runs, and the error message of train
    mode, "" if there was none. The model is restored. Raises CannotRun if it does not run in eval
    mode."""
    found, why = {}, ""
    for mode in MODES:
        try:
            with restored(model):
                found[mode] = go(mode)
        except Exception as error:  # a user's forward may raise anything
            if mode == "eval":
                raise CannotRun(one_line(error)) from error
            why = one_line(error)
    return found, why


def difference(ours: ModelRun, theirs: ModelRun) -> str:
    """Returns the first difference between two runs as a sentence; "" if there is none."""
    return next(iter(all_differences(ours, theirs)), "")


def all_differences(ours: ModelRun, theirs: ModelRun) -> Iterator[str]:
    """Yields a sentence for each kind of difference: outputs, gradients, buffers, random
    numbers."""
    pairs = [
        (ours.outputs, theirs.outputs, ""),
        (ours.gradients, theirs.gradients, "gradient "),
        (ours.buffers, theirs.buffers, "buffer "),
        (ours.draws, theirs.draws, "the next random number of "),
    ]
    for one, other, kind in pairs:
        if text := unlike_leaves(one, other, kind):
            yield text


def leaves(thing: Any, path: str = "output") -> Iterator[tuple[str, Any]]:
    """Yields (path, leaf) of tensors and plain values in an output."""
    if isinstance(thing, Mapping):
        for key, item in thing.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(thing, list | tuple):
        yield f"len({path})", len(thing)
        named = hasattr(thing, "_fields")  # TorchScript returns lists for a torch.Size
        yield f"type({path})", type(thing).__name__ if named else "plain"
        for i, item in enumerate(thing):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, thing


def detached(leaf: Any) -> Any:
    """Returns a detached copy of a tensor; anything else itself."""
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf


def _takes_gradient(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def gradients_of(model: nn.Module, starts: NamedLeaves, outputs: NamedLeaves) -> NamedLeaves:
    """Returns the gradients of parameters and inputs for a fixed random weighting of the
    outputs."""
    parameters = starts | {n: p for n, p in model.named_parameters() if p.requires_grad}
    generator = torch.Generator().manual_seed(SEED)
    total = None
    for leaf in outputs.values():
        if _takes_gradient(leaf) and leaf.requires_grad:
            weights = torch.randn(leaf.shape, generator=generator).to(leaf)
            part = (leaf * weights).mean().float()
            total = part if total is None else total + part
    if total is None or not parameters:
        return {}
    found = torch.autograd.grad(total, [*parameters.values()], allow_unused=True)
    return dict(zip(parameters, found, strict=True))


# Comparing


def unlike_leaves(ours: NamedLeaves, theirs: NamedLeaves, kind: str = "") -> str:
    """Returns the first difference as a sentence, with the number of others; "" if there is
    none."""
    if ours.keys() != theirs.keys():
        return f"{kind}names differ: {sorted(ours.keys() ^ theirs.keys())[:4]}."
    wrong = [text for name in theirs if (text := _unlike(ours[name], theirs[name], kind + name))]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"{wrong[0]}{more}." if wrong else ""


def _unlike(one: Any, other: Any, name: str) -> str:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return "" if _plainly_equal(one, other) else f"{name} is {one!r:.80}, not {other!r:.80}"
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{name} is {_kind(one)}, not {_kind(other)}"
    if one.is_sparse or one.is_quantized or one.is_nested:
        one, other = one.to_dense(), other.to_dense()
    if torch.equal(one, other):
        return ""
    if not (one.is_floating_point() or one.is_complex()):
        return f"{name} has different values"
    if torch.allclose(one, other, rtol=RTOL, atol=ATOL, equal_nan=True):
        return ""
    return f"{name} is off by {(one - other).abs().max():.3g}"


def _plainly_equal(one: Any, other: Any) -> bool:
    one, other = (value() if is_decided(value) else value for value in (one, other))
    plain = (bool, int, float, str, type(None))
    if isinstance(other, plain) or isinstance(one, plain):
        return type(one) is type(other) and (one == other or one != one)
    return type(one).__name__ == type(other).__name__


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{[*tensor.shape]}"


# Random numbers


@contextmanager
def seeded(seed: int = SEED) -> Iterator[None]:
    """Runs the block with the generators of torch, numpy and Python seeded, and restores them on
    exit."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)


def next_draws() -> NamedLeaves:
    """Returns the next number of each generator, which reveals how many were drawn before."""
    drawn: dict[str, Callable[[], float]] = {
        "torch": lambda: torch.rand((), device="cpu").item(),
        "random": random.random,
        "numpy": np.random.random,
    }
    return {name: float(draw()) for name, draw in drawn.items()}


# Restoring a model


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Restores modes, parameters, buffers, plain attributes and gradients of a model on exit."""
    modules = [*model.modules()]
    plain = [{k: v for k, v in vars(m).items() if k not in OWN} for m in modules]
    held = _Contents()
    for own in plain:
        held.add([value for key, value in own.items() if key != KEY])
    buffers = [(m, n, b, b.detach().clone()) for m in modules for n, b in m._buffers.items()
               if b is not None]  # fmt: skip
    parameters = [(p, p.detach().clone()) for p in model.parameters()]
    gradients = [(p, p.grad) for p in model.parameters()]
    try:
        yield
    finally:
        for module, attributes in zip(modules, plain, strict=True):
            for name in [k for k in vars(module) if k not in OWN and k not in attributes]:
                del module.__dict__[name]
            module.__dict__.update(attributes)
        held.restore()
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer.copy_(value)
            for parameter, value in parameters:
                parameter.copy_(value)
        for parameter, gradient in gradients:
            parameter.grad = gradient


@final
class _Contents:
    """A snapshot of the contents of lists, dicts, sets and objects at all depths."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any]] = {}

    def add(self, thing: Any) -> None:
        """Records the contents of an object."""
        if id(thing) in self._known or isinstance(thing, _NOT_HELD):
            return
        kind = next((kind for kind in _MUTABLE if isinstance(thing, kind)), None)
        self._known[id(thing)] = thing, None if kind is None else _MUTABLE[kind][0](thing)
        kinds: tuple[Any, ...] = (tuple, frozenset, list, set)
        parts = [*dict.values(thing)] if isinstance(thing, dict) else []
        for sequence in kinds:
            parts += sequence.__iter__(thing) if isinstance(thing, sequence) else ()
        state = getattr(thing, "__dict__", None)
        for part in (*parts, *([state] if type(state) is dict else [])):
            self.add(part)

    def restore(self) -> None:
        """Restores all recorded contents."""
        for thing, content in self._known.values():
            for kind, (_, put_back) in _MUTABLE.items():
                if isinstance(thing, kind):
                    put_back(thing, content)


def _refill(kind: Any) -> Callable[[Any, Any], None]:
    def put_back(thing: Any, content: Any) -> None:
        kind.clear(thing)  # a user's subclass may override it
        fill = kind.extend if kind is list else kind.update
        fill(thing, content)

    return put_back


_MUTABLE: dict[Any, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    list: (list.copy, _refill(list)),
    dict: (dict.copy, _refill(dict)),
    set: (lambda thing: {*set.__iter__(thing)}, _refill(set)),
    torch.Generator: (torch.Generator.get_state, torch.Generator.set_state),
    random.Random: (random.Random.getstate, random.Random.setstate),
    np.random.RandomState: (
        np.random.RandomState.get_state,
        np.random.RandomState.set_state,
    ),
    np.random.Generator: (
        lambda thing: thing.bit_generator.state,
        lambda thing, state: setattr(thing.bit_generator, "state", state),
    ),
}  # how to save and restore the contents of an object besides its attributes
_NOT_HELD = (Tensor, nn.Module, type, FunctionType, BuiltinFunctionType, ModuleType, str, bytes)
