"""A recorded run: its calls in order, with their arguments and results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

from torch import Tensor

from runner.graph.channels.operand_repair import PreviousCall, StepFunction
from runner.graph.ir.argument import Call
from runner.graph.ir.argument_sizes import Numbers
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Unit
from runner.nested import rebuild
from runner.nn.recording.tensor_history import tensors_in


@final
@dataclass(frozen=True)
class Moment:
    """A point in a run: the path of a unit, the node of its code that runs (None if the unit runs
    as a whole), and the number of such visits up to it."""

    path: str
    node: Node | None
    count: int


@final
@dataclass(frozen=True, eq=False)
class RecordedStep:
    """A recorded call, or the read of a tensor of a unit."""

    moment: Moment
    name: str  # for error messages
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any
    run: StepFunction  # repeats the call on other arguments
    unit: Unit | None = None  # the layer that ran, or the owner of the tensor that was read
    call: Call | None = None  # of a layer: its final constructor call
    tensor: str = ""  # name in the unit of the tensor that was read
    node: tuple[str, str, int] = ("", "", 0)  # of a call in code: path, function, index of node
    fits: Numbers = field(default_factory=dict)  # numbers that had to change for it to run

    @property
    def before(self) -> PreviousCall:
        """The call, as a reference for a repeated one."""
        return PreviousCall(self.args, self.kwargs, self.result)


@final
class RecordedRun:
    """The steps of a run in order, and the step that made each tensor."""

    def __init__(self) -> None:
        self.steps: list[RecordedStep] = []
        self.at: dict[Moment, RecordedStep] = {}
        self._makers: dict[int, RecordedStep] = {}

    def add(self, step: RecordedStep) -> None:
        """Appends a step, with a copy of the containers of its arguments. A step that returns a
        tensor passed to it is not the maker of that tensor."""
        args, kwargs = rebuild(([*step.args], {**step.kwargs}), lambda leaf: leaf)
        step = replace(step, args=args, kwargs=kwargs)
        self.steps.append(step)
        self.at[step.moment] = step
        given = {id(tensor) for tensor in tensors_in([step.args, {**step.kwargs}])}
        for tensor in tensors_in(step.result):
            if id(tensor) not in given:
                self._makers.setdefault(id(tensor), step)

    def maker(self, tensor: Tensor) -> RecordedStep | None:
        """Returns the step that made a tensor; None for an input, and inside a shell."""
        return self._makers.get(id(tensor))
