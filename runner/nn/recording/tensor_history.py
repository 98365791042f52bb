"""What happened to the memory of each tensor: how it was made, and all that changed it."""

from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, UntypedStorage, nn
from torch.nn.parameter import is_lazy

from runner.nested import leaves
from runner.nn.recording.initial_values import Owned, RecordedCall

Geometry = tuple[Any, ...]
ViewSteps = tuple[RecordedCall, ...]  # without the first argument, the result of the one before


@final
@dataclass(frozen=True, eq=False)
class RecordedTensor:
    """A tensor among arguments, and the call that made its value by then; None if unknown."""

    storage: int
    made: RecordedCall | None
    tensor: Tensor  # keeps the storage alive
    order: int  # when it was looked at


@final
@dataclass(frozen=True)
class InPlaceCall:
    """A call that changed a tensor in place: its arguments behind the tensor."""

    call: RecordedCall
    scope: nn.Module | None  # whose constructor was running
    place: int  # see Fill
    part: ViewSteps | None  # what leads from the tensor to the part given to it; None: not known
    anew: bool = False  # whether the values are those of another tensor, now in its place
    of_copy: bool = False  # whether this is what makes a deep copy of a parameter or buffer
    levels: int | None = None  # of a copied tensor: how far above its owner the scope is


@final
@dataclass
class History:
    """What happened to one storage since it was made."""

    storage: UntypedStorage | Tensor  # keeps it alive
    geometry: Geometry  # of the tensor it was made as
    made: RecordedCall | None  # None: not seen
    now: RecordedCall | None  # what it holds now, None where that cannot be said in one expression
    random: bool  # whether that depends on random numbers, or may
    events: list[InPlaceCall] = field(default_factory=list)
    views: dict[Geometry, tuple[ViewSteps, Tensor]] = field(default_factory=dict)
    """What gave other views of it, and the tensor that was the first argument of that."""
    seen: dict[Geometry, RecordedCall] = field(default_factory=dict)
    """Calls that gave views of several tensors at once, true as long as nothing changes."""
    held: bool = False  # whether it is, or was, a parameter or buffer
    copied: bool = False  # whether it is a deep copy
    holder: Owned | None = None  # the first module that held it, where that was seen


@final
class StorageLocation:
    """Where a tensor's data were."""

    def __init__(self, tensor: Tensor) -> None:
        self.storage = storage_of(tensor)
        self.geometry = geometry_of(tensor)
        self.memory = memory_of(tensor)  # kept alive


def storage_of(tensor: Tensor) -> int:
    """The identity of a tensor's memory, which its views and aliases share."""
    if tensor.layout is not torch.strided or is_lazy(tensor):
        return id(tensor)
    identity: int = tensor.untyped_storage()._cdata
    return identity


def memory_of(tensor: Tensor) -> UntypedStorage | Tensor:
    """What keeps the identity of a tensor's memory from being another's."""
    dense = tensor.layout is torch.strided and not is_lazy(tensor)
    return tensor.untyped_storage() if dense else tensor


def geometry_of(tensor: Tensor) -> Geometry:
    """How a tensor lies in its memory."""
    if tensor.layout is not torch.strided or is_lazy(tensor):
        return (id(tensor),)
    return tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def tensors_in(argument: Any) -> list[Tensor]:
    """The tensors among arguments."""
    return [leaf for leaf in leaves(argument, subclasses=True) if isinstance(leaf, Tensor)]
