"""The record of a run: what was called, on which tensors, and which tensors came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

from torch import Tensor

from runner.graph.channels.operand_repair import PreviousCall, StepFunction
from runner.graph.ir.argument import Call
from runner.graph.ir.nested import Numbers
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Unit
from runner.nested import rebuild
from runner.nn.recording.tensor_history import tensors_in


@final
@dataclass(frozen=True)
class Moment:
    """One moment of a run: the path of a unit, the node there that runs, if the unit is seen from
    inside, and how often that was so before."""

    path: str
    node: Node | None
    count: int


@final
@dataclass(frozen=True, eq=False)
class RecordedStep:
    """Something that was called, or a tensor that was taken from a unit."""

    spot: Moment
    name: str  # for a reader
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any
    run: StepFunction  # what was called, to be tried on other arguments
    unit: Unit | None = None  # of a layer, and of a tensor that was taken
    call: Call | None = None  # of a layer: how it was made in the end
    tensor: str = ""  # that was taken: its name in the unit
    node: tuple[str, str, int] = ("", "", 0)  # of a call in code: path, function, place there
    fits: Numbers = field(default_factory=dict)  # what had to change for it to run

    @property
    def before(self) -> PreviousCall:
        """The call, for another one to be compared with."""
        return PreviousCall(self.args, self.kwargs, self.result)


@final
class RunTape:
    """The steps of a run in order, and which of them made a tensor."""

    def __init__(self) -> None:
        self.steps: list[RecordedStep] = []
        self.at: dict[Moment, RecordedStep] = {}
        self._makers: dict[int, RecordedStep] = {}

    def add(self, step: RecordedStep) -> None:
        """Note a step, its arguments as they are now. What gives a tensor that it was given did
        not make it."""
        args, kwargs = rebuild(([*step.args], {**step.kwargs}), lambda leaf: leaf)
        step = replace(step, args=args, kwargs=kwargs)
        self.steps.append(step)
        self.at[step.spot] = step
        given = {id(tensor) for tensor in tensors_in([step.args, {**step.kwargs}])}
        for tensor in tensors_in(step.result):
            if id(tensor) not in given:
                self._makers.setdefault(id(tensor), step)

    def maker(self, tensor: Tensor) -> RecordedStep | None:
        """The step that made a tensor; None for an input, and for what a shell made."""
        return self._makers.get(id(tensor))
