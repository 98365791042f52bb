"""Frozen operations: their result is the same in every training step, and for all models that share
their input."""

from collections.abc import Hashable
from hashlib import blake2b

import torch
from torch import Tensor, nn

from runner.fusion.kernels.kernel import Operation
from runner.fusion.kernels.parameter_reads import tensor_of


def frozen(operation: Operation) -> bool:
    """Returns whether an operation is known to use no trained parameters or changing buffers."""
    if operation.step.opaque:
        return False
    if operation.step.kind == "tensor":
        return not tensor_of(operation).requires_grad
    module = operation.module
    if module is None:
        return True
    if any(parameter.requires_grad for parameter in module.parameters()):
        return False
    return not operation.changing


def changed(operation: Operation) -> int | None:
    """Returns the id of the layer whose buffers an operation changes, or None if there is none."""
    module = operation.module
    if module is None or operation.step.kind == "tensor" or not module.training:
        return None
    return None if next(module.buffers(), None) is None else id(module)


def digest(operation: Operation) -> Hashable:
    """Returns a digest of the tensors that an operation uses, equal for equal tensors."""
    if operation.step.kind == "tensor":
        return _digest(tensor_of(operation))
    module = operation.module
    return () if module is None else tuple(map(_digest, _tensors(module)))


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _digest(tensor: Tensor) -> bytes:
    data = tensor.detach().cpu().flatten().view(torch.uint8)
    return blake2b(data.numpy().tobytes(), digest_size=16).digest()
