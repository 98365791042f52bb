"""Packing: equally shaped tensors of several models, as views of one packed tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, final

import torch
from torch import Tensor, nn

Mode = Literal["cat", "stack"]
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


@final
@dataclass(frozen=True, slots=True)
class Packed:
    """A tensor with its owners, in order: (model, its own parameter or buffer). The `.data` of each
    owner is a view of an equal part of the tensor along dimension 0.

    A tensor that is not fused is packed alone, as its own only owner.
    """

    tensor: Tensor
    owners: tuple[tuple[int, Tensor], ...]

    @property
    def alone(self) -> bool:
        """True if the tensor is a model's own."""
        return self.tensor is self.owners[0][1]

    def parts(self, whole: Tensor) -> list[Tensor]:
        """Returns views of a tensor of the packed shape, one for each owner, of its shape."""
        if self.alone:
            return [whole]
        return [
            part.as_strided(own.shape, _inside(part, own))
            for part, (_, own) in zip(whole.chunk(len(self.owners), 0), self.owners, strict=True)
        ]

    def hold(self, data: Tensor, grad: Tensor | None) -> None:
        """Makes the tensor and its owners views of other memory, which holds their values."""
        self._assign(self.tensor, data, grad)
        if self.alone:
            return
        grads = [None] * len(self.owners) if grad is None else self.parts(grad)
        for (_, own), part, slope in zip(self.owners, self.parts(data), grads, strict=True):
            self._assign(own, part, slope)

    @staticmethod
    def _assign(tensor: Tensor, data: Tensor, grad: Tensor | None) -> None:
        tensor.grad = None  # cleared first, since the layout of the old one may not fit
        tensor.data = data
        tensor.grad = grad


def pack(owners: Sequence[tuple[int, Tensor]], mode: Mode) -> Packed:
    """Packs tensors: (n, ...) -> (k * n, ...) for "cat", (k, n, ...) for "stack". Raises ValueError
    if shapes or `requires_grad` differ.

    Parameters are packed into a parameter, frozen if they are; trained ones get zero gradients in
    memory that they keep. Buffers are packed into a plain tensor.
    """
    own = [tensor for _, tensor in owners]
    shapes, kinds = {tensor.shape for tensor in own}, {tensor.requires_grad for tensor in own}
    if len(shapes) != 1 or len(kinds) != 1:
        raise ValueError(f"Tensors of shapes {shapes} and requires_grad {kinds} cannot be packed.")
    first = own[0]
    data = torch.empty_strided(*_layout(own, mode), dtype=first.dtype, device=first.device)
    tensor = nn.Parameter(data, first.requires_grad) if isinstance(first, nn.Parameter) else data
    packed = Packed(tensor, tuple(owners))
    with torch.no_grad():
        for part, old in zip(packed.parts(data), own, strict=True):
            part.copy_(old)
    packed.hold(data, torch.zeros_like(data) if first.requires_grad else None)
    return packed


def unpack(packed: Packed) -> None:
    """Moves each owner back to separate memory, so that it can be saved or sent alone."""
    for _, own in packed.owners:
        data = torch.empty_strided(own.shape, strides(own), dtype=own.dtype, device=own.device)
        own.grad = None
        own.data = data.copy_(own.data)


def _inside(part: Tensor, own: Tensor) -> tuple[int, ...]:
    """Returns the strides of an owner's part: its own if equivalent. Those of dimensions of one
    are arbitrary, but decide whether a tensor counts as channels last."""
    found = part.view(own.shape).stride()
    known = strides(own)
    same = all(a == b or n == 1 for a, b, n in zip(found, known, own.shape, strict=True))
    return known if same else found


def strides(tensor: Tensor) -> tuple[int, ...]:
    """Returns the strides of a tensor, or contiguous ones if it has gaps or is transposed."""
    layouts = [torch.contiguous_format, *(f for n, f in FORMATS.items() if n == tensor.dim())]
    if any(tensor.is_contiguous(memory_format=layout) for layout in layouts):
        return tensor.stride()
    return torch.empty(tensor.shape, device="meta").stride()


def _layout(own: Sequence[Tensor], mode: Mode) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns shape and strides of the packed tensor, whose parts keep the memory format of their
    owners if these agree."""
    first, layouts = own[0], {strides(tensor) for tensor in own}
    inner = next(iter(layouts)) if len(layouts) == 1 else first.contiguous().stride()
    if mode == "stack" or first.dim() == 0:
        return (len(own), *first.shape), (first.numel(), *inner)
    size = (len(own) * first.shape[0], *first.shape[1:])
    return size, (prod(first.shape[1:]), *inner[1:])  # any stride fits a dimension of one
