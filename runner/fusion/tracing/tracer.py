"""The recorder: interprets a graph on a batch of meta tensors and writes a tape, node by node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.errors import GraphError, one_line
from runner.fusion.tracing.dispatch import Operations
from runner.fusion.tracing.opaque_modules import outcome_of_unit
from runner.fusion.tracing.pure_modules import is_pure_unit
from runner.fusion.tracing.tape import Tape, Unfollowed, UnitCall, What
from runner.graph.class_source.overridden_methods import overrides_call
from runner.graph.interpreter.interpreter import Frame
from runner.graph.interpreter.meta_calls import (
    META,
    Outcome,
    empty_copy,
    module_outcome,
)
from runner.graph.interpreter.meta_interpreter import MetaInterpreter
from runner.graph.interpreter.modules import Live
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node
from runner.graph.ir.signature import locate, runs_in_order
from runner.graph.ir.unit import Unit, joined
from runner.nn.recording.tensor_history import tensors_in


@final
@dataclass
class Plan:
    """Knowledge from failed recordings, used by the next one."""

    opaque: dict[UnitCall, str] = field(default_factory=dict)  # -> why
    changing: set[str] = field(default_factory=set)  # paths of attributes that the model mutates
    outcomes: dict[Any, Outcome] = field(default_factory=dict)  # of opaque units

    def again(self) -> "Plan":
        """Returns a plan for the other mode, which shares all but the outcomes."""
        return Plan(self.opaque, self.changing)

    def make_opaque(self, graph: Graph, call: UnitCall, why: str) -> None:
        """Makes a unit call opaque, and adds the attributes it may mutate to `changing`."""
        if call in self.opaque:
            raise GraphError(f"The model has no program: {why}")
        self.opaque[call] = why
        for path, unit in graph.unit(call[0]).walk(call[0]):
            names = [name for name, a in unit.attributes.items() if isinstance(a, list | dict)]
            nodes = [node for function in unit.functions.values() for node in function.nodes]
            names += [node.target for node in nodes if node.op == "set_attr"]
            self.changing.update(joined(path, name) for name in names)


@final
class Recorder(MetaInterpreter):
    """One run of a graph, in one mode. Raises Unfollowed at a unit call that has to be opaque and
    is not yet so in the plan."""

    def __init__(self, graph: Graph, plan: Plan, *, training: bool) -> None:
        self.plan = plan
        self.tape = Tape()
        self._tensors: dict[str, Tensor] = {}  # parameters and buffers, by path
        self._owners = dict(graph.ties)
        self._paths = {unit: path for path, unit in graph.root.walk()}
        super().__init__(graph, training=training)
        self.operations = Operations(self.tape, self.memo, plan.changing)

    def record(self, size: int, shape: Sequence[int]) -> Any:
        """Runs the graph on a batch of `size` examples; returns the result, as Vars."""
        batch = torch.empty((size, *shape), device=META)
        self.tape.add(batch)
        with torch.no_grad():
            return self.tape.argument(self.call(self.graph.root, "", "forward", (batch,), {}))

    # Units

    def call(
        self,
        unit: Unit | None,
        path: str,
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Calls a method of a unit; `unit` is None for a module inside a basic unit."""
        if (
            unit is None
            or unit.grade != "graph"
            or (unit.inherits and overrides_call(locate(unit.cls.target)))
        ):
            return self.module_step(unit, path, method, args, kwargs, "module")
        if (path, method) in self.plan.opaque or unit.hooked:
            return self.module_step(unit, path, method, args, kwargs, "opaque")
        with self.tape.entered((path, method)):
            if unit.functions:
                live = self.builder.module(unit, path)
                assert isinstance(live, Live)
                return self.tape.usable(super().run_method(live, method, tuple(args), kwargs))
            if method != "forward" or len(args) != 1 or kwargs or not runs_in_order(unit.cls):
                self.tape.unfollowed(f"A {unit.name} has no method {method}.")
            [given] = args
            for child in filter(None, unit.children.values()):
                given = self.call(child, self._paths[child], "forward", (given,), {})
            return given

    def run_method(
        self, module: Live, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        return self.call(module._runner_unit, module._runner_path, name, args, kwargs)

    def module_step(
        self,
        unit: Unit | None,
        path: str,
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        what: What,
    ) -> Any:
        """Records a unit call as one step. A unit that mutates its arguments is called on copies,
        except for in-place activations: their input is rebound to their result."""
        outcome = self.outcome(unit, path, method, args, kwargs)
        given = [*tensors_in((tuple(args), dict(kwargs)))]
        target = path if method == "forward" else f"{path}:{method}"
        pure = what == "module" and is_pure_unit(unit)
        if what == "module" and outcome.changed == (0,) and outcome.shares == (0,):
            result = self.tape.step(what, target, args, kwargs, outcome, pure=pure)
            self.tape.rebind(given[0], result)
            return result
        if outcome.changed:
            changed = [given[place] for place in outcome.changed]
            args, kwargs = self.tape.copied((tuple(args), dict(kwargs)), changed)
        return self.tape.step(what, target, args, kwargs, outcome, pure=pure)

    def outcome(
        self,
        unit: Unit | None,
        path: str,
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Outcome:
        """Returns the outcome of calling a unit that is not traced."""
        if unit is None or unit.grade == "basic":
            try:
                module = self.builder.module(unit, path) if unit else self.inside(path)
                return module_outcome(module, method, args, kwargs)
            except Exception as error:
                if unit is None:
                    self.tape.unfollowed(one_line(error))
        shapes = [(t.shape, t.stride()) for t in tensors_in((tuple(args), dict(kwargs)))]
        numbers = self.tape.argument((tuple(args), dict(kwargs)))
        key = path, method, repr((shapes, numbers))
        if key not in self.plan.outcomes:
            try:
                self.plan.outcomes[key] = outcome_of_unit(
                    self.graph, unit, method, args, kwargs, training=self.training
                )
            except GraphError as error:
                self.tape.unfollowed(str(error))
        return self.plan.outcomes[key].copy()

    def inside(self, path: str) -> nn.Module:
        """Returns a module inside a basic unit."""
        return self.model.get_submodule(path)

    def place(self, frame: Frame, path: str) -> tuple[Unit | None, str]:
        """Returns the unit at a path below the running one, and its first path in the model."""
        assert isinstance(frame.module, Live)
        unit, inside = frame.module._runner_unit.innermost(path)
        return None if inside else unit, joined(self._paths[unit], inside)

    # Nodes

    def explanation(self, node: Node, frame: Frame, error: Exception) -> Exception:
        if not isinstance(error, Unfollowed):
            self.tape.unfollowed(f"{node.line or node}: {one_line(error)}")
        return error

    def run_call_module(self, node: Node, frame: Frame) -> Any:
        args, kwargs = self.arguments(node, frame)
        return self.call(*self.place(frame, node.path), node.method, args, kwargs)

    def call_function(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return self.operations.function(node.target, args, kwargs)

    def call_method(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if isinstance(args[0], Live):
            name = "forward" if node.target == "__call__" else node.target
            return self.run_method(args[0], name, tuple(args[1:]), kwargs)
        return self.operations.method(node.target, args, kwargs)

    def run_get_attr(self, node: Node, frame: Frame) -> Any:
        above, _, name = node.target.rpartition(".")
        _, path = self.place(frame, above)
        path = joined(path, name)
        if path in self.plan.changing:
            self.tape.unfollowed("The code reads an attribute that the model changes.")
        module = self.submodule(frame, above)
        if module._parameters.get(name) is not None or module._buffers.get(name) is not None:
            return self.tensor(self._owners.get(path, path), getattr(module, name))
        found = super().run_get_attr(node, frame)
        if isinstance(found, nn.Module) and name:
            self.tape.unfollowed(f"The code passes the module {path} on as a value.")
        if tensors_in(found):
            self.tape.unfollowed(f"{path} is neither a parameter nor a buffer.")
        self.operations.watch(path, found)
        return found

    def tensor(self, path: str, tensor: Tensor) -> Tensor:
        """Returns a parameter or buffer as a meta tensor; its first use is recorded as a step."""
        if path not in self._tensors:
            self._tensors[path] = empty_copy(tensor)
            self.tape.add_owned(path, self._tensors[path])
        return self._tensors[path]

    def run_set_attr(self, node: Node, frame: Frame) -> None:
        self.tape.unfollowed(f"The code sets the attribute {node.target}.")

    def run_unpack(self, node: Node, frame: Frame) -> tuple[Any, ...]:
        given = self.value(node.args[0], frame)
        if isinstance(given, Tensor):
            return tuple(
                self.operations.operation("function", "torch:unbind", [given], {}, pure=True)
            )
        return tuple(given)

    def run_if(self, node: Node, frame: Frame) -> tuple[Any, ...]:
        self.tape.value("if", [self.value(node.args[0], frame)])
        return super().run_if(node, frame)

    def run_loop(self, node: Node, frame: Frame) -> tuple[Any, ...]:
        self.tape.value("loop", [self.value(argument, frame) for argument in node.args[:2]])
        return super().run_loop(node, frame)

    def run_with(self, node: Node, frame: Frame) -> tuple[Any, ...]:
        self.tape.unfollowed("The code uses a context manager.")
