"""The resizing interpreter: runs a graph on meta with other widths, and adapts layers and calls."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.channels.fit import SHELL, Conflict, Fit, NodePlace, RequestedSizes, Wanted
from runner.graph.channels.layers import called_with, numbers, repair_layer
from runner.graph.channels.operand_repair import Repair, StepFunction, repair_call
from runner.graph.channels.recorded_run import Moment, RecordedRun, RecordedStep
from runner.graph.channels.resizable_modules import ResizingBuilder, ShellCalls
from runner.graph.interpreter.interpreter import Frame
from runner.graph.interpreter.meta_interpreter import MetaInterpreter, explained, listed
from runner.graph.interpreter.modules import Builder
from runner.graph.ir.argument import Call
from runner.graph.ir.argument_sizes import Change, Numbers, leaves, put, resized
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Unit, joined
from runner.nn.recording.tensor_history import tensors_in


class ResizingInterpreter(MetaInterpreter):
    """One run. Layers adapt to the widths of their inputs, as do numbers in calls; an unchanged
    tensor that makes a call fail is a conflict, and resized for the rest of the run.

    `before` is a run without changes; if it is None, this is that run. `inlined` units are run by
    their code, though their constructor could build them.
    """

    def __init__(
        self, graph: Graph, wanted: Wanted, before: RecordedRun | None, inlined: set[Unit]
    ) -> None:
        self.recorded = RecordedRun()
        self.requested = RequestedSizes(wanted)
        self.result: Any = None  # of the model
        self.conflicts: list[Conflict] = []
        self.adapted: dict[Unit, Numbers] = {}  # constructor numbers that had to change
        self.repaired: dict[NodePlace, Numbers] = {}  # numbers in calls that had to change
        self.paths = {unit: path for path, unit in graph.root.walk()}
        self.inlined = inlined
        self._before = before
        self._frames: list[Frame] = []  # of running functions, innermost last
        self._innermost: list[str | None] = [None]  # path of a running shell, None for others
        self._visits: Counter[tuple[str, Node | None]] = Counter()
        self._indices: dict[Function, dict[Node, int]] = {}
        super().__init__(graph)

    def run(self, *inputs: Any) -> None:
        """Runs the model in eval mode, once."""
        self.result = self(*inputs)

    @property
    def fit(self) -> Fit:
        """The graph edits that realize the widths of this run."""
        adapted = {self.paths[unit]: found for unit, found in self.adapted.items()}
        return self.requested.fit(adapted, self.repaired)

    def make_builder(self, device: torch.device) -> Builder:
        return ResizingBuilder(self)

    def make(self, unit: Unit, call: Call) -> nn.Module:
        """Builds the module of a unit with another constructor call, on meta."""
        assert isinstance(self.builder, ResizingBuilder)
        return self.builder.made(unit, call, self.paths[unit])

    def is_layer(self, unit: Unit) -> bool:
        """Returns whether a unit is treated as opaque, and built by its constructor."""
        assert isinstance(self.builder, ResizingBuilder)
        return self.builder.is_layer(unit, self.paths[unit])

    def current(self, unit: Unit) -> nn.Module:
        """Builds the module of a layer with its numbers in this run."""
        return self.make(unit, self._call(unit))

    def _visit(self, path: str, node: Node | None) -> Moment:
        self._visits[path, node] += 1
        return Moment(path, node, self._visits[path, node])

    # Layers

    def run_layer(self, unit: Unit, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs a layer, adapted to its input. Raises NeedsInlining if that is impossible, but may
        be possible for the parts of the layer."""
        path = self.paths[unit]
        with self.aside():
            try:
                step = self._adapted(unit, args, kwargs)
            except (GraphError, NeedsInlining):
                raise
            except Exception as error:
                what = f"{path} ({unit.name}) got {listed(tuple(args), kwargs)}"
                raise explained(what, error) from error
        self.adapted[unit] = step.fits
        self.recorded.add(step)
        return step.result

    def _adapted(self, unit: Unit, args: Sequence[Any], kwargs: Mapping[str, Any]) -> RecordedStep:
        """Runs a layer with the constructor numbers that its input requires."""
        moment = self._visit(self.paths[unit], None)
        known = self.adapted.setdefault(unit, {})
        call = self._call(unit)
        run = self._running(unit, call)
        step = RecordedStep(moment, moment.path, args, kwargs, None, run, unit, call, fits=known)
        before = self._before and self._before.at.get(moment)
        if not before:
            return replace(step, result=run(args, kwargs))
        fixed = {**self.requested.layer(moment.path), **known}
        try:
            done, fits = repair_layer(self.make, unit, call, args, kwargs, before.before, fixed)
        except Exception as error:
            if known:  # adapted elsewhere: its input here has to follow
                return self._following(step, unit, call, known)
            if unit.grade != "basic":
                raise NeedsInlining(unit) from error
            raise
        self._note_conflicts(step, done)
        new = {**known, **fits}
        call = called_with(call, new)
        if fits:
            for earlier in [s for s in self.recorded.steps if s.unit is unit and not s.tensor]:
                self._following(earlier, unit, call, new)
        run = self._running(unit, call)
        return replace(step, result=done.result, run=run, call=call, fits=new)

    def _call(self, unit: Unit) -> Call:
        """Returns the constructor call of a layer, with its numbers in this run."""
        assert unit.call is not None
        requested = self.requested.layer(self.paths[unit])
        return called_with(unit.call, {**requested, **self.adapted.get(unit, {})})

    def _running(self, unit: Unit, call: Call) -> StepFunction:
        return lambda args, kwargs: self.make(unit, call)(*args, **kwargs)

    def _following(self, step: RecordedStep, unit: Unit, call: Call, new: Numbers) -> RecordedStep:
        """Returns the step of a layer that was adapted to another of its inputs; operands that do
        not fit it are conflicts."""
        assert unit.call is not None and self._before is not None
        old = numbers(unit.call)
        also = [Change(old[place], size) for place, size in new.items() if old[place] != size]
        run, before = self._running(unit, call), self._before.at[step.moment].before
        done = repair_call(run, step.args, step.kwargs, before, also)
        self._note_conflicts(step, done)
        return replace(step, result=done.result, run=run, call=call, fits=new)

    def _note_conflicts(self, step: RecordedStep, repair: Repair) -> None:
        """Adds a conflict for each operand of a step that had to be resized."""
        found = leaves(step.args, step.kwargs)
        what = f"{step.name} got {listed(tuple(step.args), step.kwargs)}"
        for place, dims in repair.operands.items():
            for dim, change in dims.items():
                self.conflicts.append(Conflict(found[place], dim, change, what))

    # Calls in code

    def call_function(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        call = super().call_function
        return self._called(node, lambda args, kwargs: call(node, args, kwargs), args, kwargs)

    def call_method(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        call = super().call_method
        return self._called(node, lambda args, kwargs: call(node, args, kwargs), args, kwargs)

    def _called(
        self, node: Node, run: StepFunction, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Makes a call of a node, with other numbers if it needs them. What takes a module runs as
        it is: the parts of the module adapt by themselves."""
        if any(isinstance(thing, nn.Module) for thing in (*args, *kwargs.values())):
            return run(args, kwargs)
        frame = self._frames[-1]
        where = self._where(node, frame)
        if new := self.requested.call(where):
            args, kwargs = put(args, kwargs, new)
        name = f"{where[0] or 'the model'}, {where[1]}: {node.target}"
        moment = self._visit(frame.path, node)
        step = RecordedStep(moment, name, args, kwargs, None, run, node=where)
        done = self._repaired(step)
        if tensors_in(done.result) and self.repaired.setdefault(where, done.fits) != done.fits:
            raise GraphError(f"{name} is called with several widths, but its numbers fit one.")
        return done.result

    def _repaired(self, step: RecordedStep) -> RecordedStep:
        """Makes a call in code with its arguments repaired, and records it if it returns
        tensors."""
        before = self._before and self._before.at.get(step.moment)
        if before:
            done = repair_call(step.run, step.args, step.kwargs, before.before)
        else:
            done = Repair(step.run(step.args, step.kwargs))
        args, kwargs = put(step.args, step.kwargs, done.numbers)
        step = replace(step, args=args, kwargs=kwargs, result=done.result, fits=done.numbers)
        if tensors_in(done.result):
            self._note_conflicts(step, done)
            self.recorded.add(step)
        return step

    def _where(self, node: Node, frame: Frame) -> NodePlace:
        """Returns the path of the unit that a node belongs to, the function, and its index."""
        if frame.function not in self._indices:
            self._indices[frame.function] = {n: i for i, n in enumerate(frame.function.nodes)}
        function = frame.function.name if frame.module is not None else f":{frame.function.name}"
        return frame.path, function, self._indices[frame.function][node]

    def run_get_attr(self, node: Node, frame: Frame) -> Any:
        found = super().run_get_attr(node, frame)
        if not isinstance(found, Tensor):
            return found
        owner, name = self.graph.root.innermost(joined(frame.path, node.target))
        if sizes := self.requested.tensor(self.paths[owner], name):
            found = resized(found, sizes)
        self._read(self._visit(frame.path, node), owner, name, found)
        return found

    def _read(self, moment: Moment, owner: Unit, name: str, tensor: Tensor) -> None:
        """Records that a tensor of a unit was read."""
        path = f"{self.paths[owner]}.{name}"
        self.recorded.add(RecordedStep(moment, path, (), {}, tensor, _never, owner, tensor=name))

    # Shells, whose code runs as it is

    def run_shell(self, unit: Unit, module: nn.Module, run: Callable[[], Any]) -> Any:
        """Runs a shell, intercepting all calls of torch in its own code."""
        path = self.paths[unit]
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                self._read(self._visit(f"{path}.{name}", None), unit, name, tensor)
        with self._running_in(path), ShellCalls(self, path):
            return run()

    def called_in_shell(
        self, path: str, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Calls a function of torch for the code of a shell, with its operands repaired."""
        name = f"{path or 'the model'}, forward: {getattr(function, '__name__', function)}"
        step = RecordedStep(
            self._visit(f"{path}()", None), name, args, kwargs, None,
            lambda args, kwargs: function(*args, **kwargs), node=(path, "", SHELL),
        )  # fmt: skip
        done = self._repaired(step)
        if done.fits:
            raise GraphError(f"{name} takes numbers from code that cannot be changed.")
        return done.result

    def is_running(self, path: str) -> bool:
        """Returns whether the code of a shell is innermost, not that of a unit it calls."""
        return self._innermost[-1] == path

    def aside(self) -> AbstractContextManager[None]:
        """Returns a context in which no code counts as that of a shell."""
        return self._running_in(None)

    @contextmanager
    def _running_in(self, path: str | None) -> Iterator[None]:
        self._innermost.append(path)
        try:
            yield
        finally:
            self._innermost.pop()

    def run_function(self, frame: Frame, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self._frames.append(frame)
        try:
            with self.aside():
                return super().run_function(frame, args, kwargs)
        finally:
            self._frames.pop()


class NeedsInlining(Exception):
    """Raised for a unit that cannot be adapted as a whole and has to be inlined."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        self.unit = unit


def _never(args: Any, kwargs: Any) -> Any:
    raise AssertionError("this must not be called")
