"""What shape every value of a graph has: the graph run on tensors that have nothing but a shape."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from runner.errors import GraphError
from runner.graph.interpreter.interpreter import Frame, Interpreter
from runner.graph.interpreter.meta_cache import Memory
from runner.graph.interpreter.modules import Builder, Live
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node, Spec, Value
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit

EXAMPLES = 5  # in the batch that is tried: more than anything is taken apart into by chance


@final
@dataclass
class Shapes:
    """What is known: by the path of a unit, the specs of the values of its functions."""

    specs: dict[str, dict[Value, Spec]] = field(default_factory=dict)
    result: Any = None  # what the model gives, with specs for tensors
    stopped: str = ""  # where values, not shapes, decide how it goes on; empty: nowhere


def propagate(graph: Graph, *inputs: Any, **kwargs: Any) -> Shapes:
    """Fill `Value.spec` by running a graph, in eval mode, on the meta device; nothing is computed.

    Inputs are tensors or `Spec`s, nested as the model takes them. Values that one run gives several
    shapes (in a function that several units share) get no spec; `Shapes.specs` has them by unit.
    Where the data decides, it stops, and says so in `stopped`.
    Raises GraphError for a node that does not fit, with its place, its shapes and the reason.
    """
    shapes = Shapes()
    with torch.no_grad(), torch.device("meta"):
        interpreter = _Shapes(graph, shapes)
        interpreter.model.eval()
        _check_ties(graph, interpreter.model)
        try:
            result = interpreter(*on_meta(inputs), **on_meta(kwargs))
        except Stopped as stopped:
            shapes.stopped = str(stopped)
        else:
            shapes.result = _described(result)
    return shapes


def _check_ties(graph: Graph, model: nn.Module) -> None:
    """Raises Mismatch for parameters that are one, and have two shapes."""
    for path, owner in graph.ties:
        one, other = (model.get_parameter(name).shape for name in (path, owner))
        if one != other:
            raise Mismatch(
                f"{path} and {owner} are one tensor, and would be {[*one]} and {[*other]}."
            )


class Stopped(Exception):
    """A place where the data decides."""


class Mismatch(GraphError):
    """A node whose arguments do not fit; the text says where, and what they are."""


class OnMeta(Interpreter):
    """Runs on meta tensors; a call that does not fit is told with its place and its shapes."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, "meta")

    def make_builder(self, device: torch.device) -> Builder:
        return MetaBuilder(self.graph, self.run_method, device)

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
        except (GraphError, Stopped):
            raise
        except Exception as error:
            raise explained(self._what(node, frame), error) from error

    def _what(self, node: Node, frame: Frame) -> str:
        """A node as an error names it: where it stands, and what it was given."""
        place = f"{frame.path or 'the model'}, {frame.function.name}"
        place += f" ({node.line})" if node.line else ""
        name = node.target or node.op
        if node.op == "call_module" and frame.module is not None:
            path = ".".join(filter(None, (frame.path, node.path))) or "the model"
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

    def call_function(self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the function of a node gives; looked up where it has no side effects."""
        if "conv_transpose" in node.target and len(args) > 1:
            _check_transposed(args[0], args[1])
        if node.target.startswith("torch") or (
            node.target.startswith("operator:") and not any(type(a) is list for a in args)
        ):
            return _memory.of(node.target, self.locate(node.target), args, kwargs)
        return self.locate(node.target)(*args, **kwargs)

    def call_method(self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the method of a node gives; looked up where it has no side effects."""
        method = getattr(args[0], node.target)
        if isinstance(args[0], Tensor) and not node.target.endswith("_"):
            return _memory.of(f".{node.target}", lambda _, *a, **k: method(*a, **k), args, kwargs)
        return method(*args[1:], **kwargs)


@final
class _Shapes(OnMeta):
    """Keeps the specs of all values."""

    def __init__(self, graph: Graph, shapes: Shapes) -> None:
        self._shapes = shapes
        self._seen: dict[Value, Spec | None] = {}
        super().__init__(graph)

    def store(self, value: Value, thing: Any, frame: Frame) -> None:
        frame.values[value] = thing
        if isinstance(thing, Tensor):
            spec = _spec(thing.shape, thing.dtype)
            self._shapes.specs.setdefault(frame.path, {})[value] = spec
            known = self._seen.setdefault(value, spec)
            value.spec = self._seen[value] = spec if known == spec else None


class MetaBuilder(Builder):
    """Makes modules without data; equal basic units are one module, made once for all graphs."""

    def __init__(self, graph: Graph, run: Any, device: torch.device) -> None:
        super().__init__(graph, run, device)
        self.own = graph.edited_from_above()

    def model(self) -> nn.Module:
        return self.module(self.graph.root, "")  # what is tied has one shape

    def basic(self, unit: Unit, path: str) -> nn.Module:
        if unit in self.own or unit.call is None or any(map(_has_unit, _arguments(unit))):
            return self.fresh(unit, path)
        key = (locate(unit.call.target), repr((unit.call, unit.edits, unit.hooked)))
        module = _modules.get(key)
        if module is None:
            if len(_modules) >= MANY:
                _modules.clear()
            module = _modules[key] = self.fresh(unit, path)
            _remembering(module)
        return module

    def fresh(self, unit: Unit, path: str) -> nn.Module:
        """A module of a unit that is no other one's."""
        try:
            made = super().basic(unit, path)
        except GraphError:
            raise
        except Exception:  # what reads its data while it is built: built on the CPU, then emptied
            with torch.device("cpu"), torch.random.fork_rng(devices=[]):
                made = super().basic(unit, path).to("meta")
        for module in made.modules():
            if isinstance(module, _ConvTransposeNd):
                module.register_forward_pre_hook(_check_given)
        return made


def _check_given(module: nn.Module, given: tuple[Any, ...]) -> None:
    _check_transposed(given[0], module.weight)  # type: ignore[arg-type]


def _check_transposed(x: Tensor, weight: Tensor) -> None:
    """A transposed convolution on meta takes any number of channels, and on a device only its own:
    raises what it raises there."""
    if x.dim() == weight.dim() and x.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"a transposed convolution with a weight of {[*weight.shape]} takes {weight.shape[0]} "
            f"channels, not {x.shape[1]}"
        )


MANY = 2_000  # modules, or results, that are remembered
_modules: dict[Any, nn.Module] = {}
_memory = Memory(10 * MANY)


def _remembering(module: nn.Module) -> None:
    """Let a module without state look up what it gave for the same shapes before."""
    module.eval()
    memory, forward = Memory(100), module.forward
    module.forward = lambda *args, **kwargs: memory.of("", forward, args, kwargs)


def _arguments(unit: Unit) -> list[Any]:
    calls = [*filter(None, [unit.call]), *unit.hooked]
    return [a for call in calls for a in (*call.args, *call.kwargs.values())]


def _has_unit(argument: Any) -> bool:
    if isinstance(argument, tuple | list):
        return any(map(_has_unit, argument))
    return isinstance(argument, Unit)


# Specs and texts


@lru_cache(maxsize=MANY)
def _spec(shape: torch.Size, dtype: torch.dtype) -> Spec:
    return Spec(tuple(shape), str(dtype).removeprefix("torch."))


def on_meta(thing: Any) -> Any:
    """The same with tensors that have no data."""
    if isinstance(thing, Tensor):
        return torch.empty_like(thing, device="meta")
    if isinstance(thing, Spec):
        return torch.empty(thing.shape, dtype=getattr(torch, thing.dtype), device="meta")
    return _mapped(thing, on_meta)


def _described(thing: Any) -> Any:
    """The same with specs in place of tensors."""
    if isinstance(thing, Tensor):
        return _spec(thing.shape, thing.dtype)
    return _mapped(thing, _described)


def _mapped(thing: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(thing, tuple) and hasattr(thing, "_fields"):
        return type(thing)(*map(change, thing))
    if isinstance(thing, list | tuple):
        return type(thing)(map(change, thing))
    if isinstance(thing, dict):
        return {key: change(item) for key, item in thing.items()}
    return thing


def named(module: nn.Module) -> str:
    """A module as an error names it: a layer with its arguments, anything else by its class."""
    if isinstance(module, Live):
        return module._runner_unit.name
    text = repr(module)
    return text if len(text) < 160 and not module._modules else type(module).__name__


def listed(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Arguments as a reader wants them: tensors by shape, the rest in short."""
    shown = [_shown(arg) for arg in args] + [f"{name}={_shown(a)}" for name, a in kwargs.items()]
    return ", ".join(shown) or "nothing"


def _shown(thing: Any) -> str:
    text = _spoken(thing)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _spoken(thing: Any) -> str:
    if isinstance(thing, Tensor):
        return str(_spec(thing.shape, thing.dtype))
    if isinstance(thing, list | tuple):
        ends = "[]" if isinstance(thing, list) else "()"
        return f"{ends[0]}{', '.join(map(_spoken, thing))}{ends[1]}"
    if isinstance(thing, dict):
        return f"{{{', '.join(f'{key!r}: {_spoken(item)}' for key, item in thing.items())}}}"
    return repr(thing)


DATA = ("meta tensor", "meta backend", "'meta'", "on meta", "data-dependent", "unimplemented",
        "same device", "two devices", "meta device")  # fmt: skip


def explained(what: str, error: Exception) -> Exception:
    """An error for what a node raised: a mismatch, or a question that only data can answer."""
    text = " ".join(str(error).split())
    sentence = text.split(". ")[0].rstrip(".") or type(error).__name__
    lower = text.lower()
    if isinstance(error, NotImplementedError) or any(sign in lower for sign in DATA):
        return Stopped(f"{what}: {sentence}.")
    return Mismatch(f"{what}: {sentence}.")
