"""What is frozen: operations that give the same in every step, and so the same for all models that
share their input."""

from collections.abc import Hashable
from hashlib import blake2b

import torch
from torch import Tensor, nn

from runner.fusion.kernels.kernel import Operation
from runner.fusion.kernels.parameter_reads import tensor_of


def frozen(operation: Operation) -> bool:
    """Whether nothing that an operation uses beside its inputs is trained, or changes."""
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
    """The identity of the layer whose buffers an operation changes; None where it changes none."""
    module = operation.module
    if module is None or operation.step.kind == "tensor" or not module.training:
        return None
    return None if next(module.buffers(), None) is None else id(module)


def digest(operation: Operation) -> Hashable:
    """Equal for operations that use equal tensors."""
    if operation.step.kind == "tensor":
        return _digest(tensor_of(operation))
    module = operation.module
    return () if module is None else tuple(map(_digest, _tensors(module)))


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _digest(tensor: Tensor) -> bytes:
    data = tensor.detach().cpu().flatten().view(torch.uint8)
    return blake2b(data.numpy().tobytes(), digest_size=16).digest()
