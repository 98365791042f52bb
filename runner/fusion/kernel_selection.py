"""Kernel selection: the kernel of each operation, and the operations that may share a launch."""

from collections.abc import Hashable
from typing import final

from torch import nn

from runner.fusion.frozen_operations import digest, frozen
from runner.fusion.kernels.attention import SelfAttention
from runner.fusion.kernels.dropout import DROPOUTS
from runner.fusion.kernels.global_pool import POOLS, GlobalPool
from runner.fusion.kernels.kernel import FusedKernel, Operation
from runner.fusion.kernels.layers import LAYERS
from runner.fusion.kernels.parameter_reads import Tensors
from runner.fusion.kernels.stateless import Free, hooked, what

TENSORS = Tensors()
KERNELS: dict[type[nn.Module], FusedKernel] = {
    **LAYERS,
    **DROPOUTS,
    **dict.fromkeys(POOLS, GlobalPool()),
    nn.MultiheadAttention: SelfAttention(),
}


@final
class KernelSelection:
    """The selection of kernels for the operations of models that are fused."""

    def __init__(self) -> None:
        self._free = Free()

    def kernel_of(self, operation: Operation) -> FusedKernel | None:
        """Returns the kernel that can run an operation for several models, or None."""
        step, module = operation.step, operation.module
        if step.kind == "tensor":
            return TENSORS
        if step.opaque or (step.kind == "module" and step.method != "forward"):
            return None
        if module is not None and not hooked(module):
            kernel = KERNELS.get(type(module))
            if kernel is not None and kernel.label(operation) is not None:
                return kernel
        return self._free if self._free.label(operation) is not None else None

    def label_of(self, operation: Operation, kernel: FusedKernel | None) -> Hashable:
        """Returns a label, equal for operations that may share a launch."""
        if not self.draws(operation, kernel) and frozen(operation):
            return type(kernel), what(operation), digest(operation)
        if kernel is None:
            return operation
        return type(kernel), kernel.label(operation)

    def draws(self, operation: Operation, kernel: FusedKernel | None) -> bool:
        """Returns whether an operation may draw random numbers."""
        if kernel is not None:
            return kernel.draws
        return operation.step.opaque or self._free.nature(operation).draws
