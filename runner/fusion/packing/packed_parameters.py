"""Parameter packing: packs the parameters and buffers of several models for use in one call.

A model's own parameters become views of the packed ones, so that training updates both.
"""

from collections.abc import Iterable, Sequence
from typing import final

from torch import Tensor, nn

from runner.fusion.packing.packing import Mode, Packed, pack, unpack

OwnedModule = tuple[int, nn.Module]  # (model, module)


@final
class Parameters:
    """The packed parameters and buffers; a tensor is packed at most once."""

    def __init__(self) -> None:
        self.packed: list[Packed] = []
        self.changing: set[int] = set()  # modules, by id, whose buffers training changes
        self._known: dict[tuple[Mode, tuple[int, ...]], Packed] = {}
        self._taken: dict[int, Tensor] = {}  # by id

    def take(
        self, owners: Sequence[OwnedModule], names: Sequence[str], mode: Mode
    ) -> list[Tensor | None] | None:
        """Returns the tensors of these names, packed over all modules; None for one that is None.

        Returns None, and packs nothing, if one of them is already packed in another way or is
        shared, or if shapes or `requires_grad` differ between the models.
        """
        columns = [[getattr(module, name) for _, module in owners] for name in names]
        columns = [column for column in columns if column[0] is not None]
        if not all(self._free(column, mode) for column in columns):
            return None
        found: list[Tensor | None] = []
        for name in names:
            own = [getattr(module, name) for _, module in owners]
            models = [model for model, _ in owners]
            found.append(None if own[0] is None else self._pack(models, own, mode))
        return found

    def _free(self, own: Sequence[Tensor], mode: Mode) -> bool:
        if _key(own, mode) in self._known:
            return True
        alike = len({(tensor.shape, tensor.requires_grad) for tensor in own}) == 1
        apart = len({*map(id, own)}) == len(own)
        return alike and apart and not any(id(tensor) in self._taken for tensor in own)

    def _pack(self, models: Sequence[int], own: Sequence[Tensor], mode: Mode) -> Tensor:
        key = _key(own, mode)
        if key not in self._known:
            self._known[key] = packed = pack([*zip(models, own, strict=True)], mode)
            self._taken |= {id(tensor): tensor for tensor in own}
            self.packed.append(packed)
        return self._known[key].tensor

    def all(self, models: Iterable[nn.Module]) -> list[Packed]:
        """Returns the packed tensors and, each on its own, the trained parameters of the models
        that are not packed."""
        alone = [
            Packed(own, ((model, own),))
            for model, module in enumerate(models)
            for own in module.parameters()
            if own.requires_grad and id(own) not in self._taken
        ]
        return self.packed + alone

    def unpack(self) -> None:
        """Moves the parameters of each model back to separate memory."""
        for packed in self.packed:
            unpack(packed)


def _key(own: Sequence[Tensor], mode: Mode) -> tuple[Mode, tuple[int, ...]]:
    return mode, tuple(map(id, own))
