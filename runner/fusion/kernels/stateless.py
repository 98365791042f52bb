"""Operations without parameters: one call on the values of all models, if the results are equal.

This is not looked up but tested on a few random inputs: an operation that is independent per
example can be applied to the examples of all models, one independent per channel to their channels.
The test also detects random draws.
"""

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.fusion.kernels.kernel import Context, FusedKernel, Operation, inputs, outputs, spoken
from runner.fusion.packing.layout import Layout, joined
from runner.fusion.program.codegen import Emitter
from runner.fusion.program.program import BatchSize, Var
from runner.graph.ir.argument import Ref
from runner.graph.ir.signature import locate
from runner.nested import leaves, places, rebuild

EXAMPLES = 3  # per model in a trial with two models; more than a slice takes
MOST = 1025
AnyCallable = Callable[..., Any]


@final
@dataclass(frozen=True)
class Nature:
    """Properties of an operation, found by a trial."""

    layouts: tuple[Layout, ...] = ()  # in which one call equals one per model
    draws: bool = True  # whether it draws random numbers


@final
class Free(FusedKernel):
    """Any operation without parameters that is independent per example or per channel. Its trials
    are those of the models that are fused."""

    def __init__(self) -> None:
        self._natures: dict[Hashable, Nature] = {}  # by `what`

    def label(self, operation: Operation) -> Hashable:
        return what(operation) if self.nature(operation).layouts else None

    def nature(self, operation: Operation) -> Nature:
        """Returns the nature of an operation, which is tried once for each of its forms."""
        step, module = operation.step, operation.module
        if step.opaque or not step.inputs or (module is not None and not _stateless(module)):
            return Nature()
        form = what(operation)
        found = self._natures.get(form)
        if found is None:
            with torch.random.fork_rng([]), torch.no_grad():
                found = self._natures[form] = _tried(operation)
        return found

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter, first = context.emitter, operations[0]
        step, layouts = first.step, self.nature(first).layouts
        shared = [emitter.shared(inputs(operations, i)) for i in range(len(step.inputs))]
        at = next(i for i, name in enumerate(shared) if name is None)
        now = emitter.layout(inputs(operations, at))
        layout = now if now in layouts else layouts[0]
        ranks = [len(first.specs[var].shape) for var in step.inputs]
        names = {
            var: _fetched(emitter, inputs(operations, i), layout, max(ranks) - ranks[i])
            for i, var in enumerate(step.inputs)
        }
        times = len(operations) if layout == Layout.FOLDED else 1
        call = write_call(emitter, first, names.__getitem__, times)
        put_results(operations, emitter.line(call, spoken(operations)), layout, emitter)
        return True


def _fetched(
    emitter: Emitter, members: Sequence[tuple[int, Var]], layout: Layout, missing: int
) -> str:
    """Returns the name of values in a layout, with `missing` leading dimensions of one inserted."""
    if not missing:
        return emitter.fetch(members, layout)
    name = emitter.fetch(members, Layout.STACKED)
    name = emitter.once(f"{name}[:{', None' * missing}]")
    return name if layout == Layout.STACKED else emitter.once(f"channels_from_stacked({name})")


def write_call(
    emitter: Emitter, operation: Operation, tensor: Callable[[Var], str], times: int = 1
) -> str:
    """Returns the source of an operation on the tensors that `tensor` names."""
    step = operation.step
    if step.kind == "method":
        return emitter.call(f"{tensor(step.args[0])}.{step.target}", step.args[1:], step.kwargs,
                            tensor, times)  # fmt: skip
    function = emitter.bind(function_of(operation), "f")
    return emitter.call(function, step.args, step.kwargs, tensor, times)


def function_of(operation: Operation) -> AnyCallable:
    """Returns the callable of a step that is not a tensor method."""
    if operation.step.kind == "function":
        function: AnyCallable = locate(operation.step.target)
        return function
    assert operation.module is not None
    layer, name = plain(operation.module), operation.step.method
    method: AnyCallable = (
        layer if name == "forward" else getattr(layer, name)
    )  # calls its hooks, too
    return method


def plain(module: nn.Module) -> nn.Module:
    """Returns a layer that computes out of place: the module itself or a copy of it."""
    if not getattr(module, "inplace", False):
        return module
    twin = copy.copy(module)
    twin.__dict__["inplace"] = False
    return twin


def put_results(
    operations: Sequence[Operation], name: str, layout: Layout, emitter: Emitter
) -> None:
    """Records the locations of the outputs of operations in the result of a given name."""
    for place, path in enumerate(paths(operations[0].step.result)):
        keys = "".join(f"[{key!r}]" for key in path)
        emitter.put(outputs(operations, place), name + keys, layout)


def paths(result: Any) -> list[tuple[Any, ...]]:
    """Returns the path of each tensor in a result: the keys that lead to it."""
    return [path for path, leaf in places(result) if type(leaf) is Var]


# Natures


def what(operation: Operation) -> Hashable:
    """Returns a signature, equal for operations with the same behavior on the same shapes."""
    step, module = operation.step, operation.module
    layer = None if module is None else (type(module), repr(settings(module)), hooked(module))
    return step.kind, "" if module else step.target, step.method, layer, operation.form


def settings(module: nn.Module) -> dict[str, Any]:
    """Returns the public attributes of a layer, which its `extra_repr` may show only in part."""
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


def _tried(operation: Operation) -> Nature:
    step = operation.step
    number = _examples(operation)
    try:
        singles = [{v: _random(operation, v, number) for v in step.inputs} for _ in range(2)]
        state = torch.get_rng_state()
        wanted = [_run(operation, single, number) for single in singles]
        _run(operation, {v: _negative(x) for v, x in singles[0].items()}, number)
        draws = not torch.equal(state, torch.get_rng_state())
    except Exception:  # other data is required, such as indices
        return Nature()
    found = (
        [] if draws else [lay for lay in ORDER if _same(operation, singles, wanted, lay, number)]
    )
    return Nature(tuple(found), draws)


def _examples(operation: Operation) -> int:
    """Returns a number of examples so large that no slice along them contains all."""
    step = operation.step
    if step.target.rpartition(":")[2] not in CUTS:
        return EXAMPLES
    sizes = [leaf for leaf in leaves((step.args, dict(step.kwargs))) if type(leaf) is int]
    return min(max([EXAMPLES, *(size + 2 for size in sizes)]), MOST)


CUTS = {"getitem", "narrow", "select", "split", "chunk", "tensor_split", "index_select", "unfold"}
ORDER = (Layout.STACKED, Layout.FOLDED, Layout.CHANNELS)  # by preference


def _stateless(module: nn.Module) -> bool:
    """Returns whether a module is a torch layer without parameters, buffers, children or hooks."""
    ours = type(module).__module__.startswith("torch.nn.modules.")
    holds = any(module.children()) or module._parameters or module._buffers
    return ours and not holds and not hooked(module)


def hooked(module: nn.Module) -> bool:
    """Returns whether a module has hooks, which its call runs in addition to forward."""
    hooks = (module._forward_hooks, module._forward_pre_hooks,
             module._backward_hooks, module._backward_pre_hooks)  # fmt: skip
    return any(hooks)


def _random(operation: Operation, var: Var, examples: int) -> Tensor:
    spec = operation.specs[var]
    shape = [n.times * examples if type(n) is BatchSize else n for n in spec.shape]
    dtype = getattr(torch, spec.dtype)
    if not dtype.is_floating_point:
        return torch.randint(0, 2, shape).to(dtype)
    return torch.rand(shape, dtype=torch.float64) + 0.1


def _negative(x: Tensor) -> Tensor:
    """Returns negative inputs, for which some operations draw, such as a randomized leaky ReLU."""
    return -x if x.is_floating_point() else x


def _run(operation: Operation, tensors: Mapping[Var, Tensor], examples: int) -> list[Tensor]:
    """Returns the output tensors of an operation."""

    def change(argument: Any) -> Any:
        if type(argument) is Var:
            return tensors[argument]
        if type(argument) is BatchSize:
            return argument.times * examples
        return locate(argument.target) if type(argument) is Ref else argument

    step = operation.step
    args, kwargs = rebuild(step.args, change), rebuild(dict(step.kwargs), change)
    if step.kind == "method":
        result = getattr(args[0], step.target)(*args[1:], **kwargs)
    else:
        result = function_of(operation)(*args, **kwargs)
    return [reduce(getitem, path, result) for path in paths(step.result)]


def _same(
    operation: Operation,
    singles: Sequence[Mapping[Var, Tensor]],
    wanted: Sequence[Sequence[Tensor]],
    layout: Layout,
    number: int,
) -> bool:
    """Returns whether one call on the joined values of two models equals one call for each."""
    step = operation.step
    shapes = [operation.specs[var].shape for var in step.inputs]
    if layout == Layout.FOLDED and not all(
        shape and type(shape[0]) is BatchSize for shape in shapes
    ):
        return False
    rank = max(map(len, shapes))
    try:
        both = {}
        for var in step.inputs:
            values = [single[var] for single in singles]
            values = [v.reshape(*[1] * (rank - v.ndim), *v.shape) for v in values]
            both[var] = joined(values, layout)
        times = 2 if layout == Layout.FOLDED else 1
        given = _run(operation, both, times * number)
        for got, one, other in zip(given, *wanted, strict=True):
            expected = joined([one, other], layout)
            if got.shape != expected.shape or not torch.allclose(got, expected, equal_nan=True):
                return False
    except Exception:
        return False
    return True
