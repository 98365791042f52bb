"""Layers with parameters: convolutions, linear layers, normalizations."""

from collections.abc import Hashable, Sequence
from math import prod
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.fusion.kernels.kernel import Context, Kernel, Operation, inputs, write
from runner.fusion.layout import Layout
from runner.fusion.program import Shape


def described(operation: Operation) -> Hashable:
    """What a layer is, and what it is given; which of its parameters are trained."""
    module = operation.module
    assert module is not None
    tensors = [*module._parameters.items(), *module._buffers.items()]
    facts = [(n, t is not None and (t.shape, t.dtype, t.requires_grad)) for n, t in tensors]
    return type(module).__name__, module.extra_repr(), module.training, operation.form, *facts


class Layer(Kernel):
    """A layer of torch.nn that is given one tensor."""

    names: tuple[str, ...] = ("weight", "bias")

    def label(self, operation: Operation) -> Hashable:
        step = operation.step
        plain = len(step.args) == 1 and not step.kwargs and len(step.inputs) == 1
        return described(operation) if plain and self.takes(operation) else None

    def takes(self, operation: Operation) -> bool:
        """Whether this kernel can stand for the layer, as it is and for what it is given."""
        return True


@final
class Convolution(Layer):
    """One convolution with a group for each model; one with the outputs of all models where they
    have the same input."""

    def takes(self, operation: Operation) -> bool:
        module: Any = operation.module
        batched = len(operation.spec.shape) == len(module.kernel_size) + 2
        return batched and module.padding_mode == "zeros"

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter, first = context.emitter, module(operations[0])
        if _is_slow(first, operations[0].spec.shape):
            return False
        found = context.parameters.take(owners(operations), self.names, "cat")
        if found is None:
            return False
        weight, bias = (emitter.bind(tensor, "p") for tensor in found)
        groups, x = first.groups, emitter.shared(inputs(operations))
        if x is None or first.groups > 1:
            x = emitter.fetch(inputs(operations), Layout.CHANNELS)
            groups *= len(operations)
        convolve = emitter.bind(CONVOLUTIONS[type(first)], "f")
        how = f"{first.stride!r}, {first.padding!r}, {first.dilation!r}, {groups}"
        call = f"{convolve}({x}, {weight}, {bias}, {how})"
        write(operations, call, Layout.CHANNELS, context)
        return True


def _is_slow(layer: Any, shape: Shape) -> bool:
    """Whether several convolutions are slower as one: those of single channels are on a CPU, where
    images are larger. 6 x 8 to 64 channels forward and backward, one thread: on 8 x 8 places 1.3 to
    2.9 times as fast as one, on 16 x 16 0.2 to 0.7 times."""
    single = layer.groups > 1 and layer.groups == layer.in_channels
    places = prod(size for size in shape[2:] if isinstance(size, int))
    return single and layer.weight.device.type == "cpu" and places > FEW_PLACES


FEW_PLACES = 64
CONVOLUTIONS = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}


@final
class Linear(Layer):
    """A batched product of matrices; one layer with the outputs of all models where they have the
    same input."""

    def takes(self, operation: Operation) -> bool:
        return len(operation.spec.shape) >= 2

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter = context.emitter
        found = context.parameters.take(owners(operations), self.names, "stack")
        if found is None:
            return False
        weight, bias = (emitter.bind(tensor, "p") for tensor in found)
        shared = emitter.shared(inputs(operations))
        if shared is None:
            x, function = emitter.fetch(inputs(operations), Layout.STACKED), linear
        else:
            x, function = shared, linear_of_shared
        side_by_side = shared is not None and len(operations[0].spec.shape) == 2
        layout = Layout.CHANNELS if side_by_side else Layout.STACKED
        call = f"{emitter.bind(function, 'f')}({x}, {weight}, {bias})"
        write(operations, call, layout, context)
        return True


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(K, N, ..., I), (K, O, I), (K, O) -> (K, N, ..., O)"""
    rows = x.flatten(1, -2) if x.ndim > 3 else x
    y = rows.bmm(weight.mT) if bias is None else bias.unsqueeze(1).baddbmm(rows, weight.mT)
    return torch.unflatten(y, 1, x.shape[1:-1]) if x.ndim > 3 else y


def linear_of_shared(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, I), (K, O, I), (K, O) -> (N, K * O); for (N, ..., I) -> (K, N, ..., O)"""
    y = F.linear(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
    return y if x.ndim == 2 else torch.unflatten(y, -1, weight.shape[:2]).movedim(-2, 0)


@final
class BatchNorm(Layer):
    """One normalization of all channels of all models."""

    def takes(self, operation: Operation) -> bool:
        layer = module(operation)
        return layer.momentum is not None and len(operation.spec.shape) >= 2

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter, first = context.emitter, module(operations[0])
        names = ("running_mean", "running_var", "weight", "bias")
        found = context.parameters.take(owners(operations), names, "cat")
        if found is None:
            return False
        x = emitter.fetch(inputs(operations), Layout.CHANNELS)
        tensors = ", ".join(emitter.bind(tensor, "p") for tensor in found)
        training = first.training or first.running_mean is None
        if training and first.running_mean is not None:
            emitter.counters += owners(operations)
        normalize = emitter.bind(F.batch_norm, "f")
        how = f"{training}, {first.momentum!r}, {first.eps!r}"
        call = f"{normalize}({x}, {tensors}, {how})"
        write(operations, call, Layout.CHANNELS, context)
        return True


@final
class GroupNorm(Layer):
    """One normalization with the groups of all models."""

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter, first = context.emitter, module(operations[0])
        found = context.parameters.take(owners(operations), self.names, "cat")
        if found is None:
            return False
        x = emitter.fetch(inputs(operations), Layout.CHANNELS)
        weight, bias = (emitter.bind(tensor, "p") for tensor in found)
        groups = first.num_groups * len(operations)
        normalize = emitter.bind(F.group_norm, "f")
        call = f"{normalize}({x}, {groups}, {weight}, {bias}, {first.eps!r})"
        write(operations, call, Layout.CHANNELS, context)
        return True


@final
class LayerNorm(Layer):
    """One normalization of all; then the scale and shift of each model."""

    def takes(self, operation: Operation) -> bool:
        return len(operation.spec.shape) > len(module(operation).normalized_shape)

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter, first = context.emitter, module(operations[0])
        found = context.parameters.take(owners(operations), self.names, "stack")
        if found is None:
            return False
        x = emitter.fetch(inputs(operations), Layout.STACKED)
        weight, bias = (emitter.bind(tensor, "p") for tensor in found)
        normalize, shape = emitter.bind(layer_norm, "f"), tuple(first.normalized_shape)
        call = f"{normalize}({x}, {shape!r}, {weight}, {bias}, {first.eps!r})"
        write(operations, call, Layout.STACKED, context)
        return True


def layer_norm(
    x: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """(K, N, ..., *shape), (K, *shape), (K, *shape) -> (K, N, ..., *shape)"""
    y = F.layer_norm(x, shape, None, None, eps)
    if weight is None:
        return y
    ones = [1] * (x.ndim - 1 - len(shape))
    weight = weight.view(-1, *ones, *shape)
    return y * weight if bias is None else bias.view(weight.shape).addcmul(y, weight)


def module(operation: Operation) -> Any:
    """The layer of an operation."""
    return operation.module


def owners(operations: Sequence[Operation]) -> list[tuple[int, nn.Module]]:
    """The models and their layers."""
    return [(operation.model, module(operation)) for operation in operations]


LAYERS: dict[type[nn.Module], Kernel] = {
    nn.Conv1d: Convolution(),
    nn.Conv2d: Convolution(),
    nn.Conv3d: Convolution(),
    nn.Linear: Linear(),
    nn.BatchNorm1d: BatchNorm(),
    nn.BatchNorm2d: BatchNorm(),
    nn.BatchNorm3d: BatchNorm(),
    nn.GroupNorm: GroupNorm(),
    nn.LayerNorm: LayerNorm(),
}
