"""Programs without the layers that do nothing."""

from typing import Any

from torch import nn

from runner.fusion.kernels.dropout import DROPOUTS
from runner.fusion.kernels.stateless import hooked
from runner.fusion.program import Program, Step, Var
from runner.nested import rebuild


def shortened(model: nn.Module, program: Program) -> Program:
    """A program without the layers that do nothing in the mode that the model is in."""
    same: dict[Var, Var] = {}
    steps = []
    for step in program.steps:
        step = _renamed(step, same)
        if step.kind == "module" and _idle(model.get_submodule(step.path)) and step.inputs:
            same[step.outputs[0]] = step.inputs[0]
        else:
            steps.append(step)
    return Program(steps, program.specs, rebuild(program.result, lambda v: same.get(v, v)))


def _renamed(step: Step, same: dict[Var, Var]) -> Step:
    if not any(var in same for var in step.inputs):
        return step

    def change(argument: Any) -> Any:
        return same.get(argument, argument) if type(argument) is Var else argument

    args, kwargs = rebuild(step.args, change), rebuild(dict(step.kwargs), change)
    return Step(step.kind, step.target, args, kwargs, step.result, step.opaque)


def _idle(module: nn.Module) -> bool:
    """Whether a layer gives what it was given."""
    off = type(module) in DROPOUTS and (not module.training or getattr(module, "p", 0) == 0)
    return (type(module) is nn.Identity or off) and not hooked(module)
