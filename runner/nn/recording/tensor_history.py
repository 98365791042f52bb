"""Tensor histories: the call that made each storage, its views, and its in-place changes."""

from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, UntypedStorage, nn
from torch.nn.parameter import is_lazy

from runner.nested import leaves
from runner.nn.recording.initial_values import Owned, RecordedCall

Geometry = tuple[Any, ...]
ViewSteps = tuple[RecordedCall, ...]  # without the first argument: the result of the previous step


@final
@dataclass(frozen=True, eq=False)
class RecordedTensor:
    """A tensor among arguments, with the call that made its value at the time; None if unknown."""

    storage: int
    made: RecordedCall | None
    tensor: Tensor  # keeps the storage alive
    order: int  # the time at which it was used


@final
@dataclass(frozen=True)
class InPlaceCall:
    """A call that changed a tensor in place; its arguments are those after the tensor."""

    call: RecordedCall
    scope: nn.Module | None  # the innermost module whose constructor was running
    place: int  # see Fill
    part: ViewSteps | None  # the view steps from the tensor to the changed part; None: unknown
    anew: bool = False  # whether another tensor replaced it, with its own values
    of_copy: bool = False  # whether it is the initial copy of a deep-copied parameter or buffer
    levels: int | None = None  # of a copied tensor: number of levels from its owner up to the scope


@final
@dataclass
class History:
    """The history of one storage since it was made."""

    storage: UntypedStorage | Tensor  # keeps it alive
    geometry: Geometry  # of the tensor that was made with it
    made: RecordedCall | None  # None: not seen
    now: RecordedCall | None  # its present value; None if not known as one expression
    random: bool  # whether its present value may depend on random numbers
    events: list[InPlaceCall] = field(default_factory=list)
    # of each other view of it, the steps that made it and the tensor they were applied to
    views: dict[Geometry, tuple[ViewSteps, Tensor]] = field(default_factory=dict)
    # calls that returned views of several tensors at once, valid until something changes
    seen: dict[Geometry, RecordedCall] = field(default_factory=dict)
    held: bool = False  # whether it is, or was, a parameter or buffer
    copied: bool = False  # whether it is a deep copy
    holder: Owned | None = None  # the first module that held it, if seen


@final
class StorageLocation:
    """The location of a tensor's data at one time."""

    def __init__(self, tensor: Tensor) -> None:
        self.storage = storage_of(tensor)
        self.geometry = geometry_of(tensor)
        self.memory = memory_of(tensor)  # kept alive


def storage_of(tensor: Tensor) -> int:
    """Returns the identity of a tensor's storage, which its views and aliases share."""
    if tensor.layout is not torch.strided or is_lazy(tensor):
        return id(tensor)
    identity: int = tensor.untyped_storage()._cdata
    return identity


def memory_of(tensor: Tensor) -> UntypedStorage | Tensor:
    """Returns an object that keeps a tensor's storage alive, so that its identity is not reused."""
    dense = tensor.layout is torch.strided and not is_lazy(tensor)
    return tensor.untyped_storage() if dense else tensor


def geometry_of(tensor: Tensor) -> Geometry:
    """Returns the offset, shape, strides and dtype of a tensor in its storage."""
    if tensor.layout is not torch.strided or is_lazy(tensor):
        return (id(tensor),)
    return tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def tensors_in(argument: Any) -> list[Tensor]:
    """Returns the tensors among arguments."""
    return [leaf for leaf in leaves(argument, subclasses=True) if isinstance(leaf, Tensor)]
