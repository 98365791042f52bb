"""Fusion: compiles the programs of several models into one function."""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.fusion.frozen_operations import changed, frozen
from runner.fusion.gradient_reach import reached
from runner.fusion.identity_elimination import shortened
from runner.fusion.kernel_selection import KernelSelection
from runner.fusion.kernels.kernel import Context, FusedKernel, Operation, inputs, spoken
from runner.fusion.kernels.parameter_reads import tensor_of
from runner.fusion.kernels.stateless import function_of, put_results, write_call
from runner.fusion.packing.layout import Layout
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.random_streams import Streams
from runner.fusion.program.codegen import Emitter
from runner.fusion.program.program import Program, Step, Var
from runner.fusion.schedule import schedule

FusedForward = Callable[[Tensor], Any]


class NotFused(Exception):
    """Models that cannot be fused, with the reason as message, in the form of a clause."""


@final
@dataclass(frozen=True)
class Fused:
    """Several models fused into one generated Python function."""

    forward: FusedForward  # (N, ...) -> (K * N, ...), the outputs concatenated by model
    source: str
    launches: int  # number of calls
    operations: int  # number of calls that the models would make without fusion
    copies: int  # number of concatenations of values
    # The frozen prefix shared by all models, which returns one tensor of features, and the rest.
    # None if there is no such prefix.
    prefix: FusedForward | None = None
    rest: FusedForward | None = None

    def clear(self) -> None:
        """Releases all objects the source uses, since a function and its globals form a cycle."""
        self.forward.__globals__.clear()


def fuse(
    models: Sequence[nn.Module],
    programs: Sequence[Program],
    parameters: Parameters,
    streams: Streams,
) -> Fused:
    """Returns one function for models, whose programs must be of the mode the models are in.

    Raises NotFused unless each model returns one tensor, all of the same shape.
    """
    programs = [shortened(*pair) for pair in zip(models, programs, strict=True)]
    found = [
        [_operation(i, step, program, model, parameters) for step in program.steps]
        for i, (model, program) in enumerate(zip(models, programs, strict=True))
    ]
    selection = KernelSelection()
    kernels = [[selection.kernel_of(operation) for operation in row] for row in found]

    def draws(i: int, at: int) -> bool:
        return selection.draws(found[i][at], kernels[i][at])

    gradients = [reached(program) for program in programs]

    def label(i: int, at: int) -> Hashable:
        return at in gradients[i], selection.label_of(found[i][at], kernels[i][at])

    def ordered(i: int, at: int) -> Hashable:
        return "draws" if draws(i, at) else changed(found[i][at])

    launches = [
        _FusedLaunch(
            [found[member.model][member.step] for member in launch],
            kernels[launch[0].model][launch[0].step],
            draws(launch[0].model, launch[0].step),
        )
        for launch in schedule(programs, label, ordered)
    ]
    results = _results(programs)
    draft = Context(Emitter(), parameters, streams)
    _write(launches, results, draft)
    # The draft has found where each value has to be split; the final source splits only there.
    context = Context(Emitter(draft.emitter.cuts), parameters, streams)
    result, calls = _write(launches, results, context)
    return _compiled(context.emitter, result, calls, sum(map(len, found)))


@final
@dataclass(frozen=True)
class _FusedLaunch:
    """Equal operations of several models, their kernel if any, and whether they draw random
    numbers."""

    operations: Sequence[Operation]
    kernel: FusedKernel | None
    draws: bool


def _write(
    launches: Sequence[_FusedLaunch],
    results: Sequence[tuple[int, Var]],
    context: Context,
) -> tuple[str, int]:
    """Emits the source of launches; returns the name of the result and the number of calls."""
    emitter = context.emitter
    emitter.put([(i, Var(0)) for i in range(len(results))], "x", Layout.SHARED)
    calls = sum(_emit(launch, context) for launch in launches)
    result = emitter.fetch(results, Layout.FOLDED)
    if emitter.counters:
        _count(context)
    return result, calls


def _count(context: Context) -> None:
    """Emits one addition that counts the batches of all normalization layers."""
    emitter = context.emitter
    seen = Counter(emitter.counters)  # a layer may be used twice
    found = context.parameters.take([*seen], ("num_batches_tracked",), "stack")
    assert found is not None
    assert found[0] is not None
    times = torch.tensor([*seen.values()], device=found[0].device)
    emitter.lines.append(f"{emitter.bind(found[0], 'p')}.add_({emitter.bind(times)})")


def _operation(
    place: int, step: Step, program: Program, model: nn.Module, parameters: Parameters
) -> Operation:
    """Returns the operation of a step. The model must be in train mode on the first call."""
    module = _module(model, step)
    holds = module is not None and next(module.buffers(), None) is not None
    if module is not None and holds and any(part.training for part in module.modules()):
        parameters.changing.add(id(module))
    return Operation(place, step, program.specs, module, id(module) in parameters.changing)


def _module(model: nn.Module, step: Step) -> nn.Module | None:
    """Returns the module that a step calls, or that owns its tensor; None for other steps."""
    if step.kind == "module":
        return model.get_submodule(step.path)
    if step.kind == "tensor":
        return model.get_submodule(step.target.rpartition(".")[0])
    return None


def _emit(launch: _FusedLaunch, context: Context) -> int:
    """Emits the source of a launch; returns the number of calls in it."""
    operations, kernel, drawing = launch.operations, launch.kernel, launch.draws
    emitter, first = context.emitter, operations[0]
    columns = [inputs(operations, place) for place in range(len(first.step.inputs))]
    same = not drawing and frozen(first)
    if same and all(emitter.shared(column) is not None for column in columns):
        _emit_one(operations, context, Layout.SHARED, drawing=False)
        return 1
    if len(operations) > 1 and kernel is not None and kernel.emit(operations, context):
        return 1
    for operation in operations:
        _emit_one([operation], context, Layout.FOLDED, drawing=drawing)
    return len(operations)


def _emit_one(
    operations: Sequence[Operation], context: Context, layout: Layout, *, drawing: bool
) -> None:
    """Emits the call of the first of some operations, whose result the others share."""
    emitter, first = context.emitter, operations[0]
    if first.step.kind == "tensor":
        put_results(operations, emitter.bind(tensor_of(first), "p"), layout, emitter)
        return

    def tensor(var: Var) -> str:
        name = emitter.plain((first.model, var))
        return f"{name}.clone()" if first.step.opaque else name  # it may be written in place

    if drawing or not first.step.inputs:
        call = _drawing(first, context, tensor)
    else:
        call = write_call(emitter, first, tensor)
    name = emitter.line(call, spoken(operations), early=layout == Layout.SHARED)
    put_results(operations, name, layout, emitter)


def made(function: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Returns the result of a function that creates tensors, with the device of `x` as default."""
    with x.device:
        return function(*args, **kwargs)


def _drawing(operation: Operation, context: Context, tensor: Callable[[Var], str]) -> str:
    """Returns the source of a call under its model's random state. One without inputs creates
    tensors, on the device of the batch."""
    step, emitter = operation.step, context.emitter
    args = step.args
    if not step.inputs:
        function: Any = partial(made, function_of(operation))
        args, tensor = (Var(0), *args), lambda _: "x"
    elif step.kind == "method":
        function = getattr(Tensor, step.target)
    else:
        function = function_of(operation)
    drawing = emitter.bind(partial(drawn, context.streams, operation.model, function), "f")
    return emitter.call(drawing, args, step.kwargs, tensor)


def drawn(streams: Streams, model: int, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Returns the result of a function called under the random state of a model."""
    with streams.of(model):
        return function(*args, **kwargs)


def _results(programs: Sequence[Program]) -> list[tuple[int, Var]]:
    shapes = set()
    for program in programs:
        if type(program.result) is not Var:
            raise NotFused("a model does not return exactly one tensor")
        shapes.add(program.specs[program.result].shape)
    if len(shapes) > 1:
        raise NotFused("the outputs of the models differ in shape")
    return [(i, program.result) for i, program in enumerate(programs)]


def _compiled(emitter: Emitter, result: str, calls: int, operations: int) -> Fused:
    early, late = emitter.early, [*emitter.lines, f"return {result}"]
    names = emitter.names
    source = _function("forward", "x", [*early, *late])
    exec(compile(source, "<fused>", "exec"), names)
    fused = Fused(names["forward"], source, calls, operations, emitter.copies)
    used = {*NAME.findall("\n".join(late))} & {*NAME.findall("\n".join(early))} - {"x"}
    if len(used) != 1 or "x" in NAME.findall("\n".join(late)) or not any(map(CALL.search, early)):
        return fused
    [kept] = used
    text = _function("prefix", "x", [*early, f"return {kept}"]) + _function("rest", kept, late)
    exec(compile(text, "<fused>", "exec"), names)
    return replace(fused, prefix=names["prefix"], rest=names["rest"])


CALL = re.compile(r"= f\d+\(")  # of a function: worth caching, unlike views
NAME = re.compile(r"\b(?:v\d+|x)\b")


def _function(name: str, argument: str, lines: Sequence[str]) -> str:
    return "\n    ".join([f"def {name}({argument}):", f"n = {argument}.shape[0]", *lines]) + "\n"
