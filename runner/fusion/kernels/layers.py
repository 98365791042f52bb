"""Layers with parameters: convolutions, linear layers, normalizations."""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from math import prod
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.fusion.kernels.kernel import Context, FusedKernel, Operation, inputs, write
from runner.fusion.packing.layout import Layout
from runner.fusion.packing.packing import Mode
from runner.fusion.program.codegen import Emitter
from runner.fusion.program.program import Shape


def described(operation: Operation) -> Hashable:
    """Returns the type, settings, tensors and arguments of a layer, equal if it can be fused."""
    module = operation.module
    assert module is not None
    tensors = [*module._parameters.items(), *module._buffers.items()]
    facts = [(n, t is not None and (t.shape, t.dtype, t.requires_grad)) for n, t in tensors]
    return type(module).__name__, module.extra_repr(), module.training, operation.form, *facts


class LayerKernel(FusedKernel):
    """A layer of torch.nn with one tensor as its argument."""

    names: tuple[str, ...] = ("weight", "bias")  # of its parameters, in the order of the call
    mode: Mode  # how these are packed

    def label(self, operation: Operation) -> Hashable:
        step = operation.step
        plain = len(step.args) == 1 and not step.kwargs and len(step.inputs) == 1
        return described(operation) if plain and self.takes(operation) else None

    def takes(self, operation: Operation) -> bool:
        """Returns whether the kernel supports the settings and the input shape of a layer."""
        return True

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        found = context.parameters.take(owners(operations), self.names, self.mode)
        if found is None:
            return False
        packed = ", ".join(context.emitter.bind(tensor, "p") for tensor in found)
        write(operations, *self.call(operations, context.emitter, packed), context)
        return True

    @abstractmethod
    def call(
        self, operations: Sequence[Operation], emitter: Emitter, packed: str
    ) -> tuple[str, Layout]:
        """Returns the source of the one call, with the packed parameters as arguments, and the
        layout of its result."""


@final
class Convolution(LayerKernel):
    """One grouped convolution, with the groups of all models; a convolution with the outputs of all
    models if they share their input."""

    mode = "cat"

    def takes(self, operation: Operation) -> bool:
        module: Any = operation.module
        batched = len(operation.spec.shape) == len(module.kernel_size) + 2
        return batched and module.padding_mode == "zeros"

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        slow = _is_slow(module(operations[0]), operations[0].spec.shape)
        return not slow and super().emit(operations, context)

    def call(
        self, operations: Sequence[Operation], emitter: Emitter, packed: str
    ) -> tuple[str, Layout]:
        first = module(operations[0])
        groups, x = first.groups, emitter.shared(inputs(operations))
        if x is None or first.groups > 1:
            x = emitter.fetch(inputs(operations), Layout.CHANNELS)
            groups *= len(operations)
        function = emitter.bind(CONVOLUTIONS[type(first)], "f")
        how = f"{first.stride!r}, {first.padding!r}, {first.dilation!r}, {groups}"
        return f"{function}({x}, {packed}, {how})", Layout.CHANNELS


def _is_slow(layer: Any, shape: Shape) -> bool:
    """Returns whether convolutions are slower fused, as depthwise ones of larger images on a CPU:
    6 x 8 to 64 channels, forward and backward, one thread, are 1.3 to 2.9 times as fast fused on
    8 x 8 positions, 0.2 to 0.7 times on 16 x 16."""
    single = layer.groups > 1 and layer.groups == layer.in_channels
    places = prod(size for size in shape[2:] if isinstance(size, int))
    return single and layer.weight.device.type == "cpu" and places > FEW_PLACES


FEW_PLACES = 64
CONVOLUTIONS = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}


@final
class LinearKernel(LayerKernel):
    """A batched matrix product; one linear layer with the outputs of all models if they share their
    input."""

    mode = "stack"

    def takes(self, operation: Operation) -> bool:
        return len(operation.spec.shape) >= 2

    def call(
        self, operations: Sequence[Operation], emitter: Emitter, packed: str
    ) -> tuple[str, Layout]:
        x = emitter.shared(inputs(operations))
        if x is None:
            x = emitter.fetch(inputs(operations), Layout.STACKED)
            return f"{emitter.bind(linear, 'f')}({x}, {packed})", Layout.STACKED
        is_matrix = len(operations[0].spec.shape) == 2
        layout = Layout.CHANNELS if is_matrix else Layout.STACKED
        return f"{emitter.bind(linear_of_shared, 'f')}({x}, {packed})", layout


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Applies K linear layers: (K, N, ..., I), (K, O, I), (K, O) -> (K, N, ..., O)"""
    rows = x.flatten(1, -2) if x.ndim > 3 else x
    y = rows.bmm(weight.mT) if bias is None else bias.unsqueeze(1).baddbmm(rows, weight.mT)
    return torch.unflatten(y, 1, x.shape[1:-1]) if x.ndim > 3 else y


def linear_of_shared(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Applies K linear layers to one input: (N, I), (K, O, I), (K, O) -> (N, K * O); for (N, ...,
    I) -> (K, N, ..., O)"""
    y = F.linear(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
    return y if x.ndim == 2 else torch.unflatten(y, -1, weight.shape[:2]).movedim(-2, 0)


@final
class BatchNorm(LayerKernel):
    """One batch normalization over the channels of all models."""

    names = ("running_mean", "running_var", "weight", "bias")
    mode = "cat"

    def takes(self, operation: Operation) -> bool:
        layer = module(operation)
        return layer.momentum is not None and len(operation.spec.shape) >= 2

    def call(
        self, operations: Sequence[Operation], emitter: Emitter, packed: str
    ) -> tuple[str, Layout]:
        first = module(operations[0])
        x = emitter.fetch(inputs(operations), Layout.CHANNELS)
        training = first.training or first.running_mean is None
        if training and first.running_mean is not None:
            emitter.counters += owners(operations)
        normalize = emitter.bind(F.batch_norm, "f")
        how = f"{training}, {first.momentum!r}, {first.eps!r}"
        return f"{normalize}({x}, {packed}, {how})", Layout.CHANNELS


@final
class GroupNorm(LayerKernel):
    """One group normalization with the groups of all models."""

    mode = "cat"

    def call(
        self, operations: Sequence[Operation], emitter: Emitter, packed: str
    ) -> tuple[str, Layout]:
        first = module(operations[0])
        x = emitter.fetch(inputs(operations), Layout.CHANNELS)
        groups = first.num_groups * len(operations)
        normalize = emitter.bind(F.group_norm, "f")
        return f"{normalize}({x}, {groups}, {packed}, {first.eps!r})", Layout.CHANNELS


@final
class LayerNorm(LayerKernel):
    """One normalization for all models, followed by the scale and shift of each."""

    mode = "stack"

    def takes(self, operation: Operation) -> bool:
        return len(operation.spec.shape) > len(module(operation).normalized_shape)

    def call(
        self, operations: Sequence[Operation], emitter: Emitter, packed: str
    ) -> tuple[str, Layout]:
        first = module(operations[0])
        x = emitter.fetch(inputs(operations), Layout.STACKED)
        normalize, shape = emitter.bind(layer_norm, "f"), tuple(first.normalized_shape)
        return f"{normalize}({x}, {shape!r}, {packed}, {first.eps!r})", Layout.STACKED


def layer_norm(
    x: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Normalizes: (K, N, ..., *shape), (K, *shape), (K, *shape) -> (K, N, ..., *shape)"""
    y = F.layer_norm(x, shape, None, None, eps)
    if weight is None:
        return y
    ones = [1] * (x.ndim - 1 - len(shape))
    weight = weight.view(-1, *ones, *shape)
    return y * weight if bias is None else bias.view(weight.shape).addcmul(y, weight)


def module(operation: Operation) -> Any:
    """Returns the layer of an operation."""
    return operation.module


def owners(operations: Sequence[Operation]) -> list[tuple[int, nn.Module]]:
    """Returns (model, layer) of each operation."""
    return [(operation.model, module(operation)) for operation in operations]


LAYERS: dict[type[nn.Module], FusedKernel] = {
    nn.Conv1d: Convolution(),
    nn.Conv2d: Convolution(),
    nn.Conv3d: Convolution(),
    nn.Linear: LinearKernel(),
    nn.BatchNorm1d: BatchNorm(),
    nn.BatchNorm2d: BatchNorm(),
    nn.BatchNorm3d: BatchNorm(),
    nn.GroupNorm: GroupNorm(),
    nn.LayerNorm: LayerNorm(),
}
