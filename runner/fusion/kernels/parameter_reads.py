"""Reads of parameters and buffers that a model uses directly, rather than through a layer."""

from collections.abc import Hashable, Sequence
from typing import final

from torch import Tensor

from runner.fusion.kernels.kernel import Context, FusedKernel, Operation, outputs
from runner.fusion.kernels.layers import owners
from runner.fusion.packing.layout import Layout


@final
class Tensors(FusedKernel):
    """Reads of the stacked tensors of all models."""

    def label(self, operation: Operation) -> Hashable:
        tensor = tensor_of(operation)
        return tensor.shape, tensor.dtype, tensor.requires_grad

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        name = operations[0].step.target.rpartition(".")[2]
        found = context.parameters.take(owners(operations), (name,), "stack")
        if found is None:
            return False
        emitter = context.emitter
        emitter.put(outputs(operations), emitter.bind(found[0], "p"), Layout.STACKED)
        return True


def tensor_of(operation: Operation) -> Tensor:
    """Returns the parameter or buffer that a step reads."""
    name = operation.step.target.rpartition(".")[2]
    found = getattr(operation.module, name)
    assert isinstance(found, Tensor)
    return found
