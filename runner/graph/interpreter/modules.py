"""Builds modules from units, to run a graph without code generation."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any, Protocol

import torch
from torch import nn

from runner.errors import GraphError, one_line
from runner.graph.ir.argument import UNRECORDED
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Argument
from runner.graph.ir.signature import locate, runs_in_order
from runner.graph.ir.unit import SET, Call, Ref, Start, Stored, Unit, Weight, joined
from runner.nested import rebuild
from runner.nn.values.expression import Computed, Expression, Variable
from runner.unregistered import unregistered


class Runs(Protocol):
    """A callback that runs a function of a unit on the unit's module."""

    def __call__(
        self, module: "Live", name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any: ...


class Live(nn.Module):
    """The module of a unit of grade graph, whose functions can be called as methods."""

    _runner_unit: Unit
    _runner_path: str
    _runner_run: Runs

    def __init__(self, unit: Unit, path: str, run: Runs) -> None:
        nn.Module.__init__(self)  # not the constructor of a class that the unit inherits from
        self.__dict__.update(_runner_unit=unit, _runner_path=path, _runner_run=run)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._runner_run(self, "forward", args, kwargs)

    def __getattr__(self, name: str) -> Any:
        unit = self.__dict__.get("_runner_unit")
        if unit is not None and name in unit.functions:
            return self.method(name)
        return super().__getattr__(name)

    def __iter__(self) -> Iterator[nn.Module | None]:
        """Iterates over the children, for code of a shell that iterates over a Sequential."""
        return iter(self._modules.values())

    def method(self, name: str) -> Callable[..., Any]:
        """Returns a function of the unit, bound to this module."""
        return lambda *args, **kwargs: self._runner_run(self, name, args, kwargs)


def _method(name: str) -> Callable[..., Any]:
    """Returns a method that runs a function of the unit."""
    return lambda module, *args, **kwargs: module._runner_run(module, name, args, kwargs)


class Builder:
    """A builder of the modules of units on one device; a unit with several parents has one
    module."""

    def __init__(self, graph: Graph, run: Runs, device: torch.device) -> None:
        self.graph = graph
        self.device = device
        self._run = run
        self._made: dict[Unit, nn.Module] = {}

    def model(self) -> nn.Module:
        """Builds the whole model, including tied parameters."""
        with torch.device(self.device):
            model = self.module(self.graph.root, "")
        for path, owner in self.graph.ties:
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, model.get_parameter(owner))
        return model

    def module(self, unit: Unit, path: str) -> nn.Module:
        """Returns the module of a unit, built on first use. Raises NotMade if that fails."""
        if unit not in self._made:
            with _placed(f"{path or 'the model'} ({unit.name})"):
                makers = {"graph": self._graph, "shell": self._shell, "basic": self.basic}
                if unit.grade not in makers:
                    raise GraphError(f"the {unit.name} is symbolic; resolve it before running.")
                self._made[unit] = makers[unit.grade](unit, path)
        return self._made[unit]

    def basic(self, unit: Unit, path: str) -> nn.Module:
        """Builds a module by its constructor call and edits. Raises GraphError without a call."""
        if unit.call is None:
            raise GraphError(f"its constructor call is unknown. {UNRECORDED}")
        return self._finished(unit, self.constant(unit.call))

    def _graph(self, unit: Unit, path: str) -> nn.Module:
        if unit.inherits:
            return self._inheriting(unit, path)
        container = _container(unit)  # an empty one is false
        live = Live(unit, path, self._run) if container is None else container
        return self._filled(unit, live, path)

    def _inheriting(self, unit: Unit, path: str) -> nn.Module:
        """Builds a module of a new subclass of the unit's original class."""
        if not unit.functions:
            return self._shell(unit, path)
        methods = {name: _method(name) for name in unit.functions}
        cls = unregistered(type, unit.name, (Live, locate(unit.cls.target)), methods)
        return self._filled(unit, cls(unit, path, self._run), path)

    def _shell(self, unit: Unit, path: str) -> nn.Module:
        cls = locate(unit.cls.target)
        module: nn.Module = cls.__new__(cls)
        nn.Module.__init__(module)
        return self._filled(unit, module, path)

    def _filled(self, unit: Unit, module: nn.Module, path: str) -> nn.Module:
        for name, weight in unit.parameters.items():
            module.register_parameter(name, weight and self._parameter(weight))
        for name, weight in unit.buffers.items():
            tensor = None if weight is None else self._tensor(weight)
            persistent = name not in unit.unsaved if weight is None else weight.persistent
            module.register_buffer(name, tensor, persistent=persistent)
        for name, child in unit.children.items():
            module._modules[name] = child and self.module(child, joined(path, name))
        for name, value in unit.attributes.items():
            setattr(module, name, self.constant(value))
        return self._finished(unit, module)

    def _finished(self, unit: Unit, module: nn.Module) -> nn.Module:
        """Applies hooks, edits and initialization of a unit to its constructed module."""
        for call in unit.hooked:
            hooked = self._call(call, module)
            module = hooked if isinstance(hooked, nn.Module) else module
        for edit in unit.edits:
            *parents, last = edit.name.split(".")
            path = unit.path_to(edit.unit, edit.path)
            owner = reduce(getattr, [*filter(None, path.split(".")), *parents], module)
            setattr(owner, last, self._edited(edit.value))
        if self.device.type != "meta":
            self._made.setdefault(unit, module)
            for start in unit.starts:
                self.fill(start, module)
        return module

    def _edited(self, value: Argument) -> Any:
        return self._parameter(value) if isinstance(value, Weight) else self.constant(value)

    def fill(self, start: Start, module: nn.Module) -> None:
        """Runs an initialization on the module of its unit, or on `module` if none was built."""
        tensor = self.filled(start, module)
        if tensor is not None and start.target == SET:
            tensor.data = self.constant(start.args)[0]
        elif tensor is not None:
            with torch.no_grad():
                self._call(start, tensor)

    def filled(self, start: Start, module: nn.Module) -> Any:
        """Returns the tensor, or part of one, that `fill` changes; None if the unit was changed,
        and has no such tensor any more."""
        tensor: Any = self._made.get(start.unit, module)
        for name in start.name.split("."):
            tensor = getattr(tensor, name, None)
        for step in start.part if tensor is not None else ():
            tensor = self._call(step, tensor.data)
        return tensor

    def _parameter(self, weight: Weight) -> nn.Parameter:
        return nn.Parameter(self._tensor(weight).detach(), requires_grad=weight.requires_grad)

    def _tensor(self, weight: Weight) -> torch.Tensor:
        if weight.start is None or self.device.type == "meta":
            shape, dtype = self.constant(weight.shape), getattr(torch, weight.dtype)
            return torch.zeros(shape, dtype=dtype, device=self.device)
        tensor: torch.Tensor = self.constant(weight.start)
        return tensor.clone()

    # Constants

    def constant(self, argument: Argument) -> Any:
        """Evaluates a constant; symbolic choices evaluate to their defaults."""
        return rebuild(argument, self._leaf)

    def _leaf(self, leaf: Argument) -> Any:
        change = _CONSTANTS.get(type(leaf))
        return change(self, leaf) if change else leaf

    def _ref(self, ref: Ref) -> Any:
        return locate(ref.target)

    def _call(self, call: Call | Start, *first: Any) -> Any:
        """Makes a call, with `first` before its own arguments; ".name" is a method of the first."""
        args, kwargs = (*first, *self.constant(call.args)), self.constant({**call.kwargs})
        if call.target.startswith("."):
            return getattr(args[0], call.target[1:])(*args[1:], **kwargs)
        return locate(call.target)(*args, **kwargs)

    def _stored(self, stored: Stored) -> torch.Tensor:
        tensor: torch.Tensor = self.graph.tensors[stored.name]
        return tensor.to(self.device)

    def _unit(self, unit: Unit) -> nn.Module:
        return self.module(unit, "")

    def _default(self, expression: Expression) -> Any:
        return expression.default


def meta_builder(graph: Graph) -> Builder:
    """Returns a builder of modules on the meta device that are inspected, and never run."""
    return Builder(graph, _never, torch.device("meta"))


def _never(module: Live, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    raise AssertionError("this is made, and not run")


_CONSTANTS: Mapping[type, Callable[[Builder, Any], Any]] = {
    Ref: Builder._ref,
    Call: Builder._call,
    Stored: Builder._stored,
    Unit: Builder._unit,
    Variable: Builder._default,
    Computed: Builder._default,
}

_CONTAINERS: Mapping[str, type[nn.Module]] = {
    "torch.nn:ModuleList": nn.ModuleList,
    "torch.nn:ModuleDict": nn.ModuleDict,
    "torch.nn:ParameterList": nn.ParameterList,
    "torch.nn:ParameterDict": nn.ParameterDict,
}


def _container(unit: Unit) -> nn.Module | None:
    """Returns an empty container of torch for a unit that is a plain container, else None."""
    if unit.functions:
        return None
    if runs_in_order(unit.cls):
        return nn.Sequential()
    kind = _CONTAINERS.get(f"torch.nn:{unit.name}")
    if kind is None:
        return None
    container = kind()
    if kind is nn.ParameterList:
        container.__dict__["_size"] = len(unit.parameters)
    return container


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Converts exceptions to NotMade, which names the unit that could not be built."""
    try:
        yield
    except NotMade:
        raise
    except GraphError as error:
        raise NotMade(f"{where}: {error}") from error
    except Exception as error:
        raise NotMade(f"{where} cannot be constructed: {one_line(error)}") from error


class NotMade(GraphError):
    """Raised for a unit that cannot be built as a module; the message names it."""
