"""Identity elimination: removes the layers of a program that return their input."""

from typing import Any

from torch import nn

from runner.fusion.kernels.dropout import DROPOUTS
from runner.fusion.kernels.stateless import hooked
from runner.fusion.program.program import Program, Step, Var
from runner.nested import rebuild


def shortened(model: nn.Module, program: Program) -> Program:
    """Returns a program without the layers that are identities in the current mode of the model."""
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
    """Returns whether a layer returns its input: nn.Identity, or dropout without effect."""
    off = type(module) in DROPOUTS and (not module.training or getattr(module, "p", 0) == 0)
    return (type(module) is nn.Identity or off) and not hooked(module)
