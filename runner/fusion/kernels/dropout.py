"""Dropout in train mode: one call, with the mask that each model would draw alone."""

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, final

from torch import nn

from runner.fusion.kernels.kernel import Context, FusedKernel, Operation, inputs, write

FEATURES = {nn.Dropout1d: 3, nn.Dropout2d: 4, nn.Dropout3d: 5}  # number of input dimensions


@final
class Dropout(FusedKernel):
    """Dropout of all kinds; models may have different rates."""

    draws = True

    def label(self, operation: Operation) -> Hashable:
        module: Any = operation.module
        spec = operation.spec
        if len(spec.shape) < 2 or len(spec.shape) != FEATURES.get(type(module), len(spec.shape)):
            return None
        return type(module), spec

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter, first = context.emitter, operations[0]
        layout = emitter.layout(inputs(operations))
        if not emitter.whole(inputs(operations)):  # a concatenation may have another memory order
            return False
        x = emitter.fetch(inputs(operations), layout)
        kind = type(first.module)
        drop = partial(
            context.streams.dropout,
            p=[rate(operation) for operation in operations],
            models=[operation.model for operation in operations],
            layout=layout,
            feature=kind in FEATURES,
            alpha=kind is nn.AlphaDropout,
        )
        write(operations, f"{emitter.bind(drop, 'f')}({x})", layout, context)
        return True


def rate(operation: Operation) -> float:
    """Returns the dropout probability of the layer."""
    module: Any = operation.module
    return float(module.p)


DROPOUTS: dict[type[nn.Module], FusedKernel] = dict.fromkeys(
    (nn.Dropout, nn.AlphaDropout, *FEATURES), Dropout()
)
