"""Runs a program on the modules of a model, step by step, in the plainest way."""

import copy
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from runner.fusion.program.program import BatchSize, Program, Step, Var
from runner.graph.ir.argument import Ref
from runner.graph.ir.signature import locate
from runner.nested import rebuild


def execute(program: Program, model: nn.Module, batch: Tensor):
    """What the program gives; the shapes and dtypes it promises are checked."""
    values = {Var(0): batch}

    def given(argument):
        if type(argument) is Var:
            return values[argument]
        if type(argument) is BatchSize:
            return argument.times * len(batch)
        return locate(argument.target) if type(argument) is Ref else argument

    for step in program.steps:
        args, kwargs = rebuild(step.args, given), rebuild(dict(step.kwargs), given)
        keep(step.result, called(step, model, args, kwargs), values)
        for var in step.outputs:
            spec = program.specs[var]
            shape = rebuild(spec.shape, given)
            assert (tuple(values[var].shape), values[var].dtype) == (
                shape,
                getattr(torch, spec.dtype),
            ), step
    return rebuild(program.result, given)


def called(step: Step, model: nn.Module, args, kwargs):
    if step.kind == "function":
        return locate(step.target)(*args, **kwargs)
    if step.kind == "method":
        return getattr(args[0], step.target)(*args[1:], **kwargs)
    if step.kind == "tensor":
        path, _, name = step.target.rpartition(".")
        return getattr(model.get_submodule(path), name)
    module = model.get_submodule(step.path)
    with functional(module, step):
        return (module if step.method == "forward" else getattr(module, step.method))(
            *args, **kwargs
        )


@contextmanager
def functional(module: nn.Module, step: Step):
    """Steps change nothing in place, whatever the module was told."""
    is_inplace = not step.opaque and getattr(module, "inplace", False) is True
    if is_inplace:
        module.inplace = False
    yield
    if is_inplace:
        module.inplace = True


def keep(result, found, values) -> None:
    """Give the Vars of a result their tensors."""
    if type(result) is Var:
        values[result] = found
    elif type(result) is dict:
        for name, item in result.items():
            keep(item, found[name], values)
    elif result is not None:
        for item, thing in zip(result, found, strict=True):
            keep(item, thing, values)


def run(call, model, batch, *, training):
    """What a model gives, its gradients and buffers, and the random numbers that come next."""
    model, batch = copy.deepcopy(model).train(training), batch.clone()
    torch.manual_seed(3)
    result = call(model, batch)
    after = torch.rand(1)
    outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    sums = [leaf.square().sum() for leaf in outputs if training and leaf.requires_grad]
    weights = [p for p in model.parameters() if sums and p.requires_grad]
    gradients = torch.autograd.grad(sum(sums), weights, allow_unused=True) if weights else ()
    return tree_leaves(result), [*gradients], [*model.buffers()], [after]


def assert_all_close(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(other, Tensor):
            torch.testing.assert_close(one, other, equal_nan=True)
        else:
            assert one == other or other != other
