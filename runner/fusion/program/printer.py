"""Prints programs: one line for each step, with the dtypes and shapes of its outputs.

%1: float32[N, 8, 6, 6] = conv1(%0)
%2: float32[N, 8] = %1.mean((2, 3))
give %2
"""

from collections.abc import Mapping
from typing import Any

from runner.fusion.program.program import BatchSize, Program, Step, TensorSpec, Var
from runner.graph.ir.argument import Ref


def program_text(program: Program) -> str:
    """Returns the text of a program; N is the number of examples."""
    lines = [_line(step, program.specs) for step in program.steps]
    return "\n".join([*lines, f"give {_argument(program.result)}"])


def _line(step: Step, specs: Mapping[Var, TensorSpec]) -> str:
    given = ", ".join(f"{_argument(var)}: {_spec(specs[var])}" for var in step.outputs)
    text = f"{given} = {_call(step)}" if given else _call(step)
    return f"{text}  (opaque)" if step.opaque else text


def _call(step: Step) -> str:
    words = [_argument(argument) for argument in step.args]
    named = [f"{name}={_argument(argument)}" for name, argument in step.kwargs.items()]
    if step.kind == "tensor":
        return step.target
    if step.kind == "method":
        return f"{words[0]}.{step.target}({', '.join(words[1:] + named)})"
    target = step.target
    if step.kind == "module":
        target = (step.path or "the model") + (f".{step.method}" if ":" in target else "")
    return f"{target.replace(':', '.')}({', '.join(words + named)})"


def _spec(spec: TensorSpec) -> str:
    return f"{spec.dtype}[{', '.join(map(_argument, spec.shape))}]"


def _argument(argument: Any) -> str:
    match argument:
        case Var(number):
            return f"%{number}"
        case BatchSize(times):
            return "N" if times == 1 else f"{times}*N"
        case Ref(target):
            return target.replace(":", ".")
        case list():
            return f"[{', '.join(map(_argument, argument))}]"
        case tuple():
            items = ", ".join(map(_argument, argument))
            return f"({items},)" if len(argument) == 1 else f"({items})"
        case dict():
            return f"{{{', '.join(f'{k!r}: {_argument(v)}' for k, v in argument.items())}}}"
        case slice():
            ends = (argument.start, argument.stop, argument.step)
            start, stop, step = ("" if end is None else _argument(end) for end in ends)
            return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"
    return "..." if argument is ... else repr(argument)
