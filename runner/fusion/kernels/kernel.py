"""The interface of fused kernels, which run equal operations of several models as one."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

from torch import nn

from runner.fusion.packing.layout import Layout
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.random_streams import Streams
from runner.fusion.program.codegen import Emitter
from runner.fusion.program.program import Step, TensorSpec, Var
from runner.nested import rebuild


@final
@dataclass(frozen=True, eq=False)
class Operation:
    """A step of one model, with the module that it calls."""

    model: int
    step: Step
    specs: Mapping[Var, TensorSpec]
    module: nn.Module | None
    changing: bool = False  # whether the module changes its buffers, now or in train mode

    @property
    def spec(self) -> TensorSpec:
        """The spec of the first tensor among its arguments."""
        return self.specs[self.step.inputs[0]]

    @cached_property
    def form(self) -> Hashable:
        """The arguments with tensors replaced by their position and spec: equal for steps that
        differ only in the tensors. `x + x` and `x + y` have different forms."""
        places = {var: place for place, var in enumerate(self.step.inputs)}

        def described(argument: Any) -> Any:
            if type(argument) is Var:
                return places[argument], self.specs[argument]
            return argument

        return repr(rebuild((self.step.args, dict(self.step.kwargs)), described))


@final
@dataclass(frozen=True)
class Context:
    """The state shared by kernels while the source is emitted."""

    emitter: Emitter
    parameters: Parameters
    streams: Streams


class FusedKernel(ABC):
    """A kernel for one kind of operation. `draws`: whether it draws random numbers."""

    draws = False

    @abstractmethod
    def label(self, operation: Operation) -> Hashable:
        """Returns a label, equal for operations that can run as one; None if not supported."""

    @abstractmethod
    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        """Emits the source of operations with equal labels, one of each model. Returns False, and
        emits nothing, if one call is not possible or would be slower."""


def inputs(operations: Sequence[Operation], place: int = 0) -> list[tuple[int, Var]]:
    """Returns (model, tensor) of the input at an index of each operation."""
    return [(operation.model, operation.step.inputs[place]) for operation in operations]


def outputs(operations: Sequence[Operation], place: int = 0) -> list[tuple[int, Var]]:
    """Returns (model, tensor) of the output at an index of each operation."""
    return [(operation.model, operation.step.outputs[place]) for operation in operations]


def write(operations: Sequence[Operation], call: str, layout: Layout, context: Context) -> None:
    """Emits the one call of operations, whose result holds their only outputs in a layout."""
    name = context.emitter.line(call, spoken(operations))
    context.emitter.put(outputs(operations), name, layout)


def spoken(operations: Sequence[Operation]) -> str:
    """Returns the description of a launch, for a comment in the source."""
    step = operations[0].step
    what = step.target or "the model"
    if operations[0].module is not None and step.kind == "module":
        what = f"{type(operations[0].module).__name__} {what}"
    models = [operation.model for operation in operations]
    return f"{what}, {_ranges(models)}"


def _ranges(numbers: Sequence[int]) -> str:
    """Formats ascending numbers as ranges, such as "0-3, 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
