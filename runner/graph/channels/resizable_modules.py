"""Modules for the resizing interpreter: layers that are rebuilt on every call, and shells whose
calls of torch are intercepted."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from runner.graph.channels.fit import RequestedSizes
from runner.graph.channels.layers import is_leaf, may_be_layer
from runner.graph.interpreter.meta_interpreter import MetaBuilder
from runner.graph.interpreter.modules import Runs
from runner.graph.ir.argument import Call
from runner.graph.ir.argument_sizes import resized
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit


class Running(Protocol):
    """The run that modules are built for."""

    graph: Graph
    inlined: set[Unit]
    paths: dict[Unit, str]
    requested: RequestedSizes

    @property
    def run_method(self) -> Runs:
        """The function that runs a function of a unit."""

    def run_layer(self, unit: Unit, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs a layer."""

    def run_shell(self, unit: Unit, module: nn.Module, run: Callable[[], Any]) -> Any:
        """Runs a shell."""

    def called_in_shell(
        self, path: str, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Calls a function of torch for the code of a shell."""

    def is_running(self, path: str) -> bool:
        """Returns whether the code of a shell is innermost, not that of a unit it calls."""

    def aside(self) -> AbstractContextManager[None]:
        """Returns a context in which no code counts as that of a shell."""

    def current(self, unit: Unit) -> nn.Module:
        """Builds the module of a layer with its current numbers."""


@final
class ResizingBuilder(MetaBuilder):
    """A builder of layers that are rebuilt with the numbers of the run whenever they are called."""

    def __init__(self, interpreter: Running) -> None:
        super().__init__(interpreter.graph, interpreter.run_method)
        self._interpreter = interpreter
        self.set: dict[Unit, dict[str, Any]] = {}  # attributes that are set after the constructor

    def module(self, unit: Unit, path: str) -> nn.Module:
        if unit not in self._made and self.is_layer(unit, path):
            self._made[unit] = Layer(unit, self._interpreter, self)
        return super().module(unit, path)

    def _shell(self, unit: Unit, path: str) -> nn.Module:
        module = super()._shell(unit, path)
        requested = self._interpreter.requested
        tensors: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for held in tensors:
            for name, tensor in held.items():
                if sizes := requested.tensor(self._interpreter.paths[unit], name):
                    held[name] = resized(tensor, sizes)
        forward = module.forward
        module.forward = lambda *args, **kwargs: self._interpreter.run_shell(
            unit, module, lambda: forward(*args, **kwargs)
        )
        return module

    def is_layer(self, unit: Unit, path: str) -> bool:
        """Returns whether a unit is treated as opaque."""
        known = unit in self._interpreter.paths  # not an argument of a constructor
        if (
            unit in self._interpreter.inlined
            or not known
            or not may_be_layer(unit)
            or not unit.call
        ):
            return False
        return unit.grade == "basic" or is_leaf(self.made(unit, unit.call, path))

    def made(self, unit: Unit, call: Call, path: str) -> nn.Module:
        """Builds the module of a unit with a constructor call."""
        twin = unit.shallow()
        twin.call = call
        with self._interpreter.aside(), torch.device(self.device):
            if unit not in self.own:
                return self.basic(twin, path)
            module = self.fresh(twin, path)
        for name, value in self.set.get(unit, {}).items():
            setattr(module, name, value)
        return module


@final
class Layer(nn.Module):
    """A proxy of a layer: forwards calls to the run, and other accesses to the current layer."""

    def __init__(self, unit: Unit, interpreter: Running, builder: ResizingBuilder) -> None:
        super().__init__()
        self.__dict__.update(_unit=unit, _interpreter=interpreter, _builder=builder)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The class of the layer, for `isinstance` checks."""
        return type(self._interpreter.current(self._unit))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._interpreter.run_layer(self._unit, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._interpreter.current(self._unit), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":
            self.__dict__[name] = value
        else:
            self._builder.set.setdefault(self._unit, {})[name] = value


@final
class ShellCalls(TorchFunctionMode):
    """A mode that redirects calls of torch in the code of a shell to the run, but not attribute
    accesses."""

    def __init__(self, interpreter: Running, path: str) -> None:
        super().__init__()
        self._interpreter = interpreter
        self._path = path

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {**(kwargs or {})}
        if getattr(func, "__name__", "") in ("__get__", "__set__"):
            return func(*args, **given)
        if not self._interpreter.is_running(self._path):
            return func(*args, **given)
        return self._interpreter.called_in_shell(self._path, func, args, given)
