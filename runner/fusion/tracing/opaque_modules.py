"""Opaque units: infers the outcome of a call by running the unit in isolation."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from runner.errors import GraphError, one_line
from runner.graph.interpreter.interpreter import Interpreter
from runner.graph.interpreter.meta_calls import Outcome, observed, with_tensors
from runner.graph.interpreter.modules import Live
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit


def outcome_of_unit(
    graph: Graph,
    unit: Unit,
    method: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    training: bool,
) -> Outcome:
    """Returns the outcome of calling a unit of any grade, run on meta tensors or, if that fails, on
    random CPU tensors with fresh weights. Raises GraphError if both fail."""
    inner = Graph(unit)
    inner.functions, inner.tensors = graph.functions, graph.tensors
    problem = ""
    # A context, such as autocast, may require a real device.
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

    return observed(run, args, kwargs).copy()


def _example(tensor: Tensor, device: str) -> Tensor:
    """Returns an example input: random floats, or integer zeros, which are always valid indices."""
    if tensor.is_floating_point() and device != "meta":
        return torch.randn(tensor.shape).to(tensor.dtype)
    return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)


@contextmanager
def _undisturbed(device: str, *, training: bool) -> Iterator[None]:
    """Runs the block on a device, with its effects on the CPU generator undone and warnings off."""
    with (
        torch.device(device),
        torch.random.fork_rng(devices=[]),
        torch.set_grad_enabled(training),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
