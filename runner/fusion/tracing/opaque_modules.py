"""Units that are not followed: their modules without data, and what they give."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.errors import GraphError, one_line
from runner.fusion.tracing.meta_calls import (
    META,
    Calls,
    Outcome,
    observed,
    tensors_in,
    with_tensors,
)
from runner.graph.interpreter.interpreter import Interpreter
from runner.graph.interpreter.modules import Builder, Live
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit

MANY = 2_000  # modules that are remembered
_modules: dict[Any, nn.Module] = {}
calls = Calls()


@final
class MetaBuilder(Builder):
    """Makes modules without data, in one mode; equal basic units are one module for all graphs."""

    def __init__(self, graph: Graph, run: Any, *, training: bool) -> None:
        super().__init__(graph, run, META)
        self.keys: dict[nn.Module, Any] = {}  # by module: what it shares with equal ones
        self._training = training
        self._own = graph.edited_from_above()

    def model(self) -> nn.Module:
        return self.module(self.graph.root, "").train(self._training)

    def basic(self, unit: Unit, path: str) -> nn.Module:
        if unit in self._own or unit.call is None:
            return self._fresh(unit, path)
        text = repr((unit.call, unit.edits, unit.hooked))
        if "<" in text:  # what prints so is not told apart
            return self._fresh(unit, path)
        cls = locate(unit.call.target)  # another one under the same name is no equal
        key = cls, self._training, text
        if key not in _modules:
            if len(_modules) >= MANY:
                _modules.clear()
            _modules[key] = self._fresh(unit, path)
        module = _modules[key]
        self.keys[module] = key
        return module

    def _fresh(self, unit: Unit, path: str) -> nn.Module:
        try:
            with META:
                return super().basic(unit, path).train(self._training)
        except GraphError:
            raise
        except Exception:  # what reads its data while it is built: built on the CPU, then emptied
            with torch.device("cpu"), torch.random.fork_rng(devices=[]):
                return super().basic(unit, path).to("meta").train(self._training)


def outcome_of_module(
    builder: MetaBuilder,
    module: nn.Module,
    method: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Outcome:
    """What a basic module gives on tensors without data."""
    call = module if method == "forward" else getattr(module, method)
    key = builder.keys.get(module)
    if key is None:
        with META:
            return observed(call, args, kwargs)
    return calls.of((key, method), call, args, kwargs)


def outcome_of_unit(
    graph: Graph,
    unit: Unit,
    method: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    training: bool,
) -> Outcome:
    """What a unit of any grade gives: run without data, or where that cannot be, run on the CPU on
    random numbers, with fresh weights. Raises GraphError when neither can be."""
    inner = Graph(unit)
    inner.functions, inner.tensors = graph.functions, graph.tensors
    problem = ""
    # A context, such as autocast, may be one of a device.
    devices = ("cpu", "meta") if _has_contexts(unit) else ("meta", "cpu")
    for device in devices:
        try:
            with _undisturbed(device, training=training):
                return _run(inner, device, method, (tuple(args), dict(kwargs)), training=training)
        except Exception as error:
            problem = one_line(error)
    raise GraphError(f"{unit.name}.{method} does not run: {problem}")


def _has_contexts(unit: Unit) -> bool:
    functions = (function for _, below in unit.walk() for function in below.functions.values())
    return any(node.op == "with" for function in functions for node in function.nodes)


def _run(graph: Graph, device: str, method: str, given: Any, *, training: bool) -> Outcome:
    interpreter = Interpreter(graph, device)
    model = interpreter.model.train(training)
    args, kwargs = with_tensors(given, lambda tensor: _example(tensor, device))

    def run(*args: Any, **kwargs: Any) -> Any:
        if isinstance(model, Live):
            return interpreter.run_method(model, method, args, kwargs)
        return (
            getattr(model, method)(*args, **kwargs)
            if method != "forward"
            else model(*args, **kwargs)
        )

    return observed(run, args, kwargs)


def _example(tensor: Tensor, device: str) -> Tensor:
    """Numbers of a shape and dtype: normal ones; whole ones are zero, which is always an index."""
    if tensor.is_floating_point() and device != "meta":
        return torch.randn(tensor.shape).to(tensor.dtype)
    return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)


@contextmanager
def _undisturbed(device: str, *, training: bool) -> Iterator[None]:
    """Leave the program's random numbers as they are, and the user's screen."""
    with (
        torch.device(device),
        torch.random.fork_rng(devices=[]),
        torch.set_grad_enabled(training),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def has_tensors(thing: Any) -> bool:
    """Whether there is a tensor anywhere in a thing."""
    return next(tensors_in(thing), None) is not None
