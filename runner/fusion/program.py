"""Program: a model as one straight list of steps, as it is run in one mode.

Control flow has been followed, modules are called by their full path, and nothing is changed in
place: what remains is which tensors go into which operation. Steps are of four kinds:

    module      a call of the module at path `target` ("" for the model itself), or of another
                method of it, with ":name" behind the path
    function    `target` is "module:qualname" ("torch:cat", "operator:add", "operator:getitem")
    method      `target` is the name of a method of the first argument
    tensor      the parameter or buffer at path `target`

Arguments are constants (None, bool, int, float, complex, str, Ellipsis, `Ref`), `Var`s, `Batch`es,
and tuples, lists, dicts and slices of arguments.
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
    """A tensor: the input of the program, or what a step gives."""

    number: int


@final
@dataclass(frozen=True, slots=True)
class BatchSize:
    """A number that follows the number of examples N of a batch: `times` x N."""

    times: int = 1


Shape = tuple[int | BatchSize, ...]


@final
@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What is known of a tensor."""

    shape: Shape
    dtype: str  # for example "float32"


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One operation. `result` is a Var, or Vars nested in tuples, lists and dicts, with None for
    what is no tensor. `opaque`: it stands for a part whose inside could not be followed."""

    kind: StepKind
    target: str
    args: tuple[ProgramArgument, ...] = ()
    kwargs: Mapping[str, ProgramArgument] = field(default_factory=dict)
    result: Any = None
    opaque: bool = False

    @property
    def path(self) -> str:
        """Of a module: where it is."""
        return self.target.partition(":")[0]

    @property
    def method(self) -> str:
        """Of a module: the method that is called."""
        return self.target.partition(":")[2] or "forward"

    @property
    def inputs(self) -> list[Var]:
        """The tensors among the arguments, each once, in order."""
        return list(dict.fromkeys(variables((self.args, dict(self.kwargs)))))

    @property
    def outputs(self) -> list[Var]:
        """The tensors it gives, in order."""
        return list(variables(self.result))


@final
@dataclass(frozen=True, slots=True)
class Program:
    """Steps in the order in which they run; `Var(0)` is the input, a batch of examples."""

    steps: Sequence[Step]
    specs: Mapping[Var, TensorSpec]
    result: Any  # a Var, or Vars nested in tuples, lists and dicts


@final
@dataclass(frozen=True, slots=True)
class Programs:
    """What a model does, in both modes."""

    train: Program
    eval: Program


def variables(argument: ProgramArgument) -> list[Var]:
    """All tensors in an argument, in order, as often as they stand there."""
    return all_in(argument, Var)
