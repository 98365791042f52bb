"""The interpreter on meta tensors: computes shapes only, and memoizes calls."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from runner import nested
from runner.errors import GraphError
from runner.graph.interpreter.interpreter import Frame, Interpreter, method_of
from runner.graph.interpreter.meta_calls import META, MetaMemo
from runner.graph.interpreter.modules import Builder, Live
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node, Spec
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit, joined


class Stopped(Exception):
    """Raised where execution depends on tensor data."""


class Mismatch(GraphError):
    """Raised for a node with invalid arguments; the message has its location and the arguments."""


class MetaInterpreter(Interpreter):
    """An interpreter of a graph on meta tensors, in train or eval mode. To observe or change calls,
    override `call_function`, `call_method` and `run_call_module`; for values, override `store`.

    An invalid call raises Mismatch, with its location and shapes.
    """

    def __init__(self, graph: Graph, *, training: bool = False) -> None:
        self.training = training
        self.memo = graph.shared(MetaMemo)
        super().__init__(graph, META)

    def make_builder(self, device: torch.device) -> Builder:
        return MetaBuilder(self.graph, self.run_method, training=self.training)

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        try:
            return self.model(*inputs, **kwargs)
        except (GraphError, Stopped):
            raise
        except Exception as error:
            what = f"The model ({self.graph.root.name}) got {listed(inputs, kwargs)}"
            raise explained(what, error) from error

    def run_node(self, node: Node, frame: Frame) -> None:
        try:
            super().run_node(node, frame)
        except Exception as error:
            explanation = self.explanation(node, frame, error)
            if explanation is error:
                raise
            raise explanation from error

    def explanation(self, node: Node, frame: Frame, error: Exception) -> Exception:
        """Returns the exception to raise for one raised at a node; GraphError and Stopped stay."""
        if isinstance(error, GraphError | Stopped):
            return error
        return explained(self._what(node, frame), error)

    def _what(self, node: Node, frame: Frame) -> str:
        """Returns the description of a node for errors: its location and arguments."""
        place = f"{frame.path or 'the model'}, {frame.function.name}"
        place += f" ({node.line})" if node.line else ""
        name = node.target or node.op
        if node.op == "call_module" and frame.module is not None:
            path = joined(frame.path, node.path) or "the model"
            module = self.submodule(frame, node.path)
            name = f"{path} ({named(module)})"
            name += f".{node.method}" if node.method != "forward" else ""
        args, kwargs = self.arguments(node, frame)
        return f"{place}: {name} got {listed(tuple(args), kwargs)}"

    def run_call_function(self, node: Node, frame: Frame) -> Any:
        if node.target.startswith(":"):
            return super().run_call_function(node, frame)
        args, kwargs = self.arguments(node, frame)
        return self.call_function(node, args, kwargs)

    def run_call_method(self, node: Node, frame: Frame) -> Any:
        args, kwargs = self.arguments(node, frame)
        return self.call_method(node, args, kwargs)

    def call_function(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Calls the function of a node; memoized if it has no side effects."""
        if "conv_transpose" in node.target and len(args) > 1:
            _check_transposed(args[0], args[1])
        if node.target.startswith("torch") or (
            node.target.startswith("operator:") and not any(type(a) is list for a in args)
        ):
            return self.memo.result(node.target, self.locate(node.target), args, kwargs)
        return self.locate(node.target)(*args, **kwargs)

    def call_method(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Calls the method of a node; memoized if it has no side effects."""
        if isinstance(args[0], Tensor) and not node.target.endswith("_"):
            call = getattr(type(args[0]), node.target)
            return self.memo.result(f".{node.target}", call, args, kwargs)
        return method_of(args[0], node.target)(*args[1:], **kwargs)


class MetaBuilder(Builder):
    """A builder of modules on meta, in one mode; equal basic units share a module of the graph's
    memo."""

    def __init__(self, graph: Graph, run: Any, *, training: bool = False) -> None:
        super().__init__(graph, run, META)
        self._training = training
        self._memo = graph.shared(MetaMemo)
        self.own = graph.edited_from_above()

    def model(self) -> nn.Module:
        return self.module(self.graph.root, "").train(self._training)  # tied ones have equal shapes

    def basic(self, unit: Unit, path: str) -> nn.Module:
        text = repr((unit.call, unit.edits, unit.hooked))
        if unit in self.own or unit.call is None or "<" in text or "Stored(" in text:
            return self.fresh(unit, path)  # edited by others, or not described by its text
        key = locate(unit.call.target), self._training, text
        return self._memo.module(key, lambda: self.fresh(unit, path))

    def fresh(self, unit: Unit, path: str) -> nn.Module:
        """Builds a module that is not shared with other units."""
        try:
            with META:
                made = super().basic(unit, path)
        except GraphError:
            raise
        except Exception:  # its constructor reads data: built on the CPU, then moved to meta
            with torch.device("cpu"), torch.random.fork_rng(devices=[]):
                made = super().basic(unit, path).to(META)
        for module in made.modules():
            if isinstance(module, _ConvTransposeNd):
                module.register_forward_pre_hook(_check_given)
        return made.train(self._training)


def _check_given(module: nn.Module, given: tuple[Any, ...]) -> None:
    _check_transposed(given[0], module.weight)  # type: ignore[arg-type]


def _check_transposed(x: Tensor, weight: Tensor) -> None:
    """Raises RuntimeError if a transposed convolution gets a wrong number of channels, which torch
    checks on all devices but meta."""
    if x.dim() == weight.dim() and x.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"a transposed convolution with a weight of {[*weight.shape]} takes {weight.shape[0]} "
            f"channels, not {x.shape[1]}"
        )


# Specs and texts


@lru_cache(maxsize=2_000)
def spec_of(shape: torch.Size, dtype: torch.dtype) -> Spec:
    return Spec(tuple(shape), str(dtype).removeprefix("torch."))


def on_meta(thing: Any) -> Any:
    """Returns the same nested containers, with meta tensors in place of tensors and specs."""
    return nested.rebuild(thing, _on_meta, subclasses=True)


def _on_meta(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return torch.empty_like(leaf, device=META)
    if isinstance(leaf, Spec):
        return torch.empty(leaf.shape, dtype=getattr(torch, leaf.dtype), device=META)
    return leaf


def named(module: nn.Module) -> str:
    """Returns the name of a module for errors: a layer with its arguments, otherwise its class."""
    if isinstance(module, Live):
        return module._runner_unit.name
    text = repr(module)
    return text if len(text) < 160 and not module._modules else type(module).__name__


def listed(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Returns arguments as text for errors: tensors by dtype and shape, the rest abbreviated."""
    shown = [_shown(arg) for arg in args] + [f"{name}={_shown(a)}" for name, a in kwargs.items()]
    return ", ".join(shown) or "nothing"


def _shown(thing: Any) -> str:
    text = _spoken(thing)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _spoken(thing: Any) -> str:
    if isinstance(thing, Tensor):
        return str(spec_of(thing.shape, thing.dtype))
    if isinstance(thing, list | tuple):
        ends = "[]" if isinstance(thing, list) else "()"
        return f"{ends[0]}{', '.join(map(_spoken, thing))}{ends[1]}"
    if isinstance(thing, dict):
        return f"{{{', '.join(f'{key!r}: {_spoken(item)}' for key, item in thing.items())}}}"
    return repr(thing)


DATA = ("meta tensor", "meta backend", "'meta'", "on meta", "data-dependent", "unimplemented",
        "same device", "two devices", "meta device")  # fmt: skip


def explained(what: str, error: Exception) -> Exception:
    """Returns the error for an exception of a node: Stopped if it needs data, else Mismatch."""
    text = " ".join(str(error).split())
    sentence = text.split(". ")[0].rstrip(".") or type(error).__name__
    lower = text.lower()
    if isinstance(error, NotImplementedError) or any(sign in lower for sign in DATA):
        return Stopped(f"{what}: {sentence}.")
    return Mismatch(f"{what}: {sentence}.")
