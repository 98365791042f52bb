"""Gradients of packed parameters, in fixed memory, with hooks that record which have arrived."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from runner.fusion.packing.packing import Packed


@final
class Gradients:
    """The gradients of packed parameters; allocates missing ones, and registers hooks."""

    def __init__(self, packed: Sequence[Packed]) -> None:
        self._packed = packed
        self._wholes: list[tuple[Tensor, Tensor]] = []
        self._come: set[Tensor] = set()
        self._missing: list[tuple[int, Tensor]] = []
        for pack in packed:
            if pack.tensor.grad is None:
                pack.hold(pack.tensor.data, torch.zeros_like(pack.tensor))
            self._wholes.append((pack.tensor, _grad(pack.tensor)))
        self._all = {pack.tensor for pack in packed}
        leaves = self._all | {own for pack in packed for _, own in pack.owners}
        self._hooks = [_notify(leaf, self._come.add) for leaf in leaves]

    def zero(self) -> None:
        """Zeroes all gradients in place, and forgets which have arrived."""
        for _, grad in self._wholes:
            grad.zero_()
        self.forget()

    def forget(self) -> None:
        """Forgets which gradients have arrived."""
        self._come.clear()

    def missing(self) -> Sequence[tuple[int, Tensor]]:
        """Returns (model, owner) for the owners whose gradient has not arrived."""
        self._copy_back()
        if self._come >= self._all:
            self._missing = []
        elif self._come:
            self._missing = [
                (model, own)
                for pack in self._packed
                for model, own in pack.owners
                if pack.tensor not in self._come and own not in self._come
            ]
        return self._missing

    def release(self) -> None:
        """Removes the hooks."""
        for hook in self._hooks:
            hook.remove()

    def _copy_back(self) -> None:
        """Copies gradients that autograd or a model has reassigned back to the fixed memory."""
        for (tensor, grad), pack in zip(self._wholes, self._packed, strict=True):
            if tensor.grad is not grad:
                grad.zero_() if tensor.grad is None else grad.copy_(tensor.grad)
                pack.hold(tensor.data, grad)


@contextmanager
def without_grad(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Runs the block with the `.grad` of tensors set to None."""
    kept = [(tensor, tensor.grad) for tensor in tensors]
    for tensor, _ in kept:
        tensor.grad = None
    try:
        yield
    finally:
        for tensor, grad in kept:
            tensor.grad = grad


def _notify(leaf: Tensor, call: Callable[[Tensor], None]) -> RemovableHandle:
    """Registers a hook, called with the tensor after a backward pass accumulates its gradient."""
    handle: RemovableHandle = leaf.register_post_accumulate_grad_hook(call)  # type: ignore[no-untyped-call]
    return handle


def _grad(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad
