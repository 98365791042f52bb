"""The resizing interpreter: runs a graph on meta with other widths, and adapts layers and calls."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.channels.layers import called_with, mended_layer, numbers
from runner.graph.channels.operand_repair import Mended, mended
from runner.graph.channels.resizable_modules import FittingBuilder, ShellCalls
from runner.graph.channels.tape import Moment, RecordedStep, RunTape
from runner.graph.interpreter.interpreter import Frame
from runner.graph.interpreter.meta_interpreter import MetaInterpreter, explained, listed
from runner.graph.interpreter.modules import Builder
from runner.graph.ir.argument import Call
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.nested import Change, Numbers, Place, leaves, put, resized
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Unit, joined
from runner.graph.ir.width_source import Source
from runner.nn.recording.tensor_history import tensors_in


@final
@dataclass(frozen=True)
class Blame:
    """A tensor that would need another size for a call to succeed."""

    tensor: Tensor
    dim: int
    change: Change
    what: str  # the call, for error messages


Wanted = Mapping[Source, int]  # sources with their new sizes
SHELL = -1  # the index of a call in code without nodes
NodePlace = tuple[str, str, int]  # a call in code: path of the unit, function, index of the node


@final
@dataclass(frozen=True)
class Fit:
    """Consistent widths, to be written into a graph."""

    wanted: Wanted
    layers: Mapping[str, Numbers]  # path -> numbers of its constructor
    numbers: Mapping[NodePlace, Numbers]  # of calls in code


class Fitter(MetaInterpreter):
    """One run. Layers adapt to the widths of their inputs, as do numbers in calls; an unchanged
    tensor that makes a call fail is blamed, and resized for the rest of the run.

    `before` is the tape of a run without changes; if it is None, this is that run. `opened` units
    are run by their code, though their constructor could build them.
    """

    def __init__(
        self, graph: Graph, wanted: Wanted, before: RunTape | None, opened: set[Unit]
    ) -> None:
        self.tape = RunTape()
        self.sizes = wanted
        self.result: Any = None  # of the model
        self.blames: list[Blame] = []
        self.layers: dict[Unit, Numbers] = {}  # constructor numbers that had to change
        self.numbers: dict[NodePlace, Numbers] = {}
        self.paths = {unit: path for path, unit in graph.root.walk()}
        self.opened = opened
        self._before = before
        self._frames: list[Frame] = []  # of running functions, innermost last
        self._innermost: list[str | None] = [None]  # path of a running shell, None for others
        self._visits: Counter[tuple[str, Node | None]] = Counter()
        self._places: dict[Function, dict[Node, int]] = {}
        self._wanted: dict[tuple[str, str, str], dict[Place, int]] = {}
        for source, size in wanted.items():
            known = self._wanted.setdefault((source.kind, source.path, source.name), {})
            known[source.place] = size
        super().__init__(graph)

    def run(self, *inputs: Any) -> None:
        """Runs the model in eval mode, once."""
        self.result = self(*inputs)

    @property
    def fit(self) -> Fit:
        """All changes to write into the graph for it to have the widths of this run."""
        layers: dict[str, dict[Place, int]] = {}
        calls = {where: {**found} for where, found in self.numbers.items() if found}
        for unit, found in self.layers.items():
            layers[self.paths[unit]] = {**found}
        for source, size in self.sizes.items():
            if source.kind == "layer":
                layers.setdefault(source.path, {})[source.place] = size
            elif source.kind == "number":
                at, *place = source.place
                calls.setdefault((source.path, source.name, int(at)), {})[tuple(place)] = size
        return Fit(self.sizes, {path: found for path, found in layers.items() if found}, calls)

    def make_builder(self, device: torch.device) -> Builder:
        return FittingBuilder(self)

    def wanted(self, kind: str, path: str, name: str) -> dict[Place, int]:
        """Returns the requested sizes of a layer, tensor or function."""
        return self._wanted.get((kind, path, name), {})

    def make(self, unit: Unit, call: Call) -> nn.Module:
        """Builds the module of a unit with another constructor call, on meta."""
        assert isinstance(self.builder, FittingBuilder)
        return self.builder.made(unit, call, self.paths[unit])

    def is_layer(self, unit: Unit) -> bool:
        """Returns whether a unit is treated as opaque, and built by its constructor."""
        assert isinstance(self.builder, FittingBuilder)
        return self.builder.is_layer(unit, self.paths[unit])

    def current(self, unit: Unit) -> nn.Module:
        """Builds the module of a layer with its numbers in this run."""
        assert unit.call is not None
        numbers = {**self.wanted("layer", self.paths[unit], ""), **self.layers.get(unit, {})}
        return self.make(unit, called_with(unit.call, numbers))

    def _spot(self, path: str, node: Node | None) -> Moment:
        self._visits[path, node] += 1
        return Moment(path, node, self._visits[path, node])

    # Layers

    def run_layer(self, unit: Unit, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs a layer, adapted to its input."""
        with self.aside():
            return self._run_layer(unit, args, kwargs)

    def _run_layer(self, unit: Unit, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        path = self.paths[unit]
        spot = self._spot(path, None)
        before = self._before and self._before.at.get(spot)
        fixed = self.wanted("layer", path, "")
        assert unit.call is not None
        call = called_with(unit.call, fixed)
        known = self.layers.setdefault(unit, {})
        call = called_with(call, known)
        run = self._running(unit, call)
        step = RecordedStep(spot, path, args, kwargs, None, run, unit, call, fits=known)
        try:
            if before:
                step = self._fitted(step, before, {**fixed, **known})
            else:
                step = replace(step, result=run(args, kwargs))
        except (GraphError, Inside):
            raise
        except Exception as error:
            what = f"{path} ({unit.name}) got {listed(tuple(args), kwargs)}"
            raise explained(what, error) from error
        self.layers[unit] = step.fits
        self.tape.add(step)
        return step.result

    def _running(self, unit: Unit, call: Call) -> Callable[[Any, Any], Any]:
        return lambda args, kwargs: self.make(unit, call)(*args, **kwargs)

    def _fitted(self, step: RecordedStep, before: RecordedStep, fixed: Numbers) -> RecordedStep:
        """Returns the step of a layer with the constructor numbers that its input requires."""
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        try:
            done, fits = mended_layer(
                self.make, unit, call, step.args, step.kwargs, before.before, fixed
            )
        except Exception as error:
            if step.fits:  # adapted elsewhere: its input here has to follow
                return self._following(step, call, step.fits)
            if unit.grade != "basic":
                raise Inside(unit) from error
            raise
        self._blame(step, done.operands)
        new = {**step.fits, **fits}
        now = called_with(call, new)
        if fits:
            for earlier in [s for s in self.tape.steps if s.unit is unit and not s.tensor]:
                self._following(earlier, now, new)
        return replace(step, result=done.result, run=self._running(unit, now), call=now, fits=new)

    def _following(self, step: RecordedStep, call: Call, new: Numbers) -> RecordedStep:
        """Returns the step of a layer that was adapted to another of its inputs; blames operands
        that do not fit it."""
        assert step.unit is not None and step.unit.call is not None and self._before is not None
        old = numbers(step.unit.call)
        also = [Change(old[place], size) for place, size in new.items() if old[place] != size]
        run, before = self._running(step.unit, call), self._before.at[step.spot].before
        done = mended(run, step.args, step.kwargs, before, also)
        self._blame(step, done.operands)
        return replace(step, result=done.result, run=run, call=call, fits=new)

    def _blame(self, step: RecordedStep, operands: Mapping[Place, Mapping[int, Change]]) -> None:
        found = leaves(step.args, step.kwargs)
        for place, dims in operands.items():
            for dim, change in dims.items():
                what = f"{step.name} got {listed(tuple(step.args), step.kwargs)}"
                self.blames.append(Blame(found[place], dim, change, what))

    # Calls in code

    def call_function(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        call = super().call_function
        return self._called(node, lambda a, k: call(node, a, k), args, kwargs)

    def call_method(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        call = super().call_method
        return self._called(node, lambda a, k: call(node, a, k), args, kwargs)

    def _called(
        self,
        node: Node,
        run: Callable[[Any, Any], Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Makes a call of a node, with other numbers if it needs them."""
        frame = self._frames[-1]
        path, function, place = self._where(node, frame)
        spot = self._spot(frame.path, node)
        if found := self.wanted("number", path, function):
            new = {at[1:]: size for at, size in found.items() if at[0] == place}
            args, kwargs = put(args, kwargs, new)
        name = f"{path or 'the model'}, {function}: {node.target}"
        done = self._repaired(spot, name, (path, function, place), run, args, kwargs)
        if tensors_in(done.result):
            self._remember((path, function, place), done.numbers, name)
        return done.result

    def _repaired(
        self,
        spot: Moment,
        name: str,
        where: NodePlace,
        run: Callable[[Any, Any], Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Mended:
        """Makes a call in code with its arguments repaired, and records it."""
        before = self._before and self._before.at.get(spot)
        done = mended(run, args, kwargs, before.before) if before else Mended(run(args, kwargs))
        if tensors_in(done.result):
            args, kwargs = put(args, kwargs, done.numbers)
            step = RecordedStep(
                spot, name, args, kwargs, done.result, run, node=where, fits=done.numbers
            )
            self._blame(step, done.operands)
            self.tape.add(step)
        return done

    def _where(self, node: Node, frame: Frame) -> NodePlace:
        """Returns the path of the unit that a node belongs to, the function, and its index."""
        if frame.function not in self._places:
            self._places[frame.function] = {n: i for i, n in enumerate(frame.function.nodes)}
        function = frame.function.name if frame.module is not None else f":{frame.function.name}"
        return frame.path, function, self._places[frame.function][node]

    def _remember(self, where: NodePlace, numbers: Numbers, name: str) -> None:
        known = self.numbers.setdefault(where, numbers)
        if known != numbers:
            raise GraphError(f"{name} is called with several widths, but its numbers fit one.")

    # Shells, whose code runs as it is

    def run_shell(self, unit: Unit, module: nn.Module, run: Callable[[], Any]) -> Any:
        """Runs a shell, intercepting all calls of torch in its own code."""
        path = self.paths[unit]
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                held = f"{path}.{name}"
                self.tape.add(
                    RecordedStep(
                        self._spot(held, None), held, (), {}, tensor, _never, unit, tensor=name
                    )
                )
        with self._running_in(path), ShellCalls(self, path):
            return run()

    def called_in_shell(
        self, path: str, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Calls a function of torch for the code of a shell, with its operands repaired."""
        name = f"{path or 'the model'}, forward: {getattr(function, '__name__', function)}"
        spot = self._spot(f"{path}()", None)

        def run(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
            return function(*args, **kwargs)

        done = self._repaired(spot, name, (path, "", SHELL), run, args, kwargs)
        if done.numbers:
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

    def run_get_attr(self, node: Node, frame: Frame) -> Any:
        found = super().run_get_attr(node, frame)
        if not isinstance(found, Tensor):
            return found
        owner, name = self.graph.root.innermost(joined(frame.path, node.target))
        path = self.paths[owner]
        if sizes := self.wanted("tensor", path, name):
            found = resized(found, {int(dim): size for (dim,), size in sizes.items()})
        spot = self._spot(frame.path, node)
        self.tape.add(
            RecordedStep(spot, f"{path}.{name}", (), {}, found, _never, owner, tensor=name)
        )
        return found

    def run_function(self, frame: Frame, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self._frames.append(frame)
        try:
            with self.aside():
                return super().run_function(frame, args, kwargs)
        finally:
            self._frames.pop()


class Inside(Exception):
    """Raised for a unit that cannot be adapted as a whole and has to be opened."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        self.unit = unit


def _never(args: Any, kwargs: Any) -> Any:
    raise AssertionError("this must not be called")
