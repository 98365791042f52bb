"""Program: a model in one mode, as a straight-line list of functional steps.

Control flow is unrolled, modules are called by their full path, and nothing is changed in place,
so that only the dataflow between operations remains. Steps are of four kinds:

    module      a call of the module at path `target` ("" for the model itself), or of another
                method of it, with ":name" after the path
    function    `target` is "module:qualname" ("torch:cat", "operator:add", "operator:getitem")
    method      `target` is the name of a method of the first argument
    tensor      the parameter or buffer at path `target`

Arguments are constants (None, bool, int, float, complex, str, Ellipsis, `Ref`), `Var`s,
`BatchSize`s, and tuples, lists, dicts and slices of arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

from runner.graph.ir.argument import all_in

StepKind = Literal["module", "function", "method", "tensor"]
ProgramArgument = Any  # see above


@final
@dataclass(frozen=True, slots=True)
class Var:
    """A tensor: the input of the program, or an output of a step."""

    number: int


@final
@dataclass(frozen=True, slots=True)
class BatchSize:
    """A size proportional to the number of examples N in a batch: `times` x N."""

    times: int = 1


Shape = tuple[int | BatchSize, ...]


@final
@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The shape and dtype of a tensor."""

    shape: Shape
    dtype: str  # for example "float32"


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One operation. `result` is a Var, or Vars nested in tuples, lists and dicts, with None for
    other values. `opaque`: it calls a unit that could not be traced."""

    kind: StepKind
    target: str
    args: tuple[ProgramArgument, ...] = ()
    kwargs: Mapping[str, ProgramArgument] = field(default_factory=dict)
    result: Any = None
    opaque: bool = False

    @property
    def path(self) -> str:
        """The path of the module, for a step that calls one."""
        return self.target.partition(":")[0]

    @property
    def method(self) -> str:
        """The method of the module that is called."""
        return self.target.partition(":")[2] or "forward"

    @property
    def inputs(self) -> list[Var]:
        """The tensors among the arguments, each once, in order."""
        return list(dict.fromkeys(variables((self.args, dict(self.kwargs)))))

    @property
    def outputs(self) -> list[Var]:
        """The tensors in the result, in order."""
        return list(variables(self.result))


@final
@dataclass(frozen=True, slots=True)
class Program:
    """Steps in execution order; `Var(0)` is the input, a batch of examples."""

    steps: Sequence[Step]
    specs: Mapping[Var, TensorSpec]
    result: Any  # a Var, or Vars nested in tuples, lists and dicts


@final
@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of a model in both modes."""

    train: Program
    eval: Program


def variables(argument: ProgramArgument) -> list[Var]:
    """Returns all tensors in an argument, in order, duplicates included."""
    return all_in(argument, Var)
