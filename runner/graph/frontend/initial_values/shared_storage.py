"""Parameters and buffers that share the storage of others (`q.data = p.data`), as starts."""

from collections.abc import Callable, Iterator
from typing import final

import torch
from torch import Tensor, nn

from runner.graph.frontend.initial_values.recorded_calls import UnitPlaces
from runner.graph.ir.unit import SET, Start, held
from runner.nn.recording.attribution import own_tensors
from runner.nn.recording.initial_values import Owned
from runner.nn.recording.tensor_history import geometry_of, storage_of

_LARGEST = 1 << 24  # bytes of storage, or elements, that are looked up one by one


@final
class SharedStorage:
    """The tensors of a model that share storage, and the starts that restore this.

    Storage is shared after everything is filled, so fills may be written for either tensor.
    """

    def __init__(self, model: nn.Module, say: Callable[[nn.Module, str], None]) -> None:
        self._model = model
        self._say = say
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._found: list[tuple[nn.Module, str, Owned]] = []
        self._known: set[int] = set()  # ids of visited parameters
        self._warned: set[frozenset[tuple[int, str]]] = set()  # pairs with a note
        self._starts: dict[int, list[Start]] = {}  # by the id of the module with the start
        self._owners: dict[int, list[tuple[nn.Module, str, Tensor]]] = {}  # by storage
        for module in model.modules():
            for name, tensor in own_tensors(module):
                found = self._owners.setdefault(storage_of(tensor), [])
                found.append((module, name, tensor))

    def add(self, module: nn.Module, name: str, tensor: Tensor, owner: Owned) -> None:
        """Records that a tensor shares the storage of another; the same parameter is a tie
        instead."""
        if isinstance(tensor, nn.Parameter):
            if getattr(owner.owner, owner.name) is tensor or id(tensor) in self._known:
                return
            self._known.add(id(tensor))
        self._found.append((module, name, owner))

    def first(self, module: nn.Module, name: str, tensor: Tensor) -> Owned | None:
        """Returns the first tensor with the same storage and geometry; None if it is this one, or
        the same parameter, which is a tie."""
        for other, theirs, held_there in self._owners[storage_of(tensor)]:
            if geometry_of(held_there) == geometry_of(tensor):
                tied = isinstance(tensor, nn.Parameter) and held_there is tensor
                same = (other, theirs) == (module, name) or tied
                return None if same else Owned(other, theirs)
        return None

    def lost(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        """Warns if a tensor that is written with storage of its own shared some; once for two
        tensors."""
        for other, theirs, held_there in self._owners.get(storage_of(tensor), ()):
            alike = geometry_of(held_there) == geometry_of(tensor)
            pair = frozenset({(id(module), name), (id(other), theirs)})
            if not alike and pair not in self._warned and _overlap(held_there, tensor):
                self._warned.add(pair)
                path = self._paths[id(other)]
                self._say(
                    module,
                    f"{name!r} shares memory with '{path and path + '.'}{theirs}', as a view or "
                    "with another dtype: in generated source, both start equal but no longer "
                    "change together. Use one parameter or buffer, and take views of it in "
                    "`forward`.",
                )
                return

    def find_starts(self, places: UnitPlaces, given: dict[tuple[int, str], nn.Module]) -> None:
        """Makes the starts; `given` are modules whose constructors replace data of an owner."""
        for module, name, owner in self._found:
            unit, inside = places.get(id(module), (None, ""))
            source, path = places.get(id(owner.owner), (None, ""))
            if unit is None or source is None or (unit is source and unit.grade == "basic"):
                continue
            value = held(source, f"{path}{owner.name}")
            start = Start(unit, f"{inside}{name}", SET, (value,))
            known = given.get((id(owner.owner), owner.name))
            inner = [module, owner.owner, *([] if known is None else [known])]
            self._starts.setdefault(id(self._above(inner, places)), []).append(start)

    def starts(self, module: nn.Module) -> Iterator[Start]:
        """Yields the starts at the end of the constructor of a module."""
        yield from self._starts.get(id(module), ())

    def _above(self, modules: list[nn.Module], places: UnitPlaces) -> nn.Module:
        """Returns the innermost module that contains all of these, and whose constructor is
        written."""
        names = [self._paths[id(module)].split(".") for module in modules]
        common: list[str] = []
        for parts in zip(*names, strict=False):
            if len({*parts}) > 1:
                break
            common.append(parts[0])
        for count in range(len(common), 0, -1):
            module = self._model.get_submodule(".".join(common[:count]))
            unit, _ = places.get(id(module), (None, ""))
            if unit is not None and unit.grade == "graph":
                return module
        return self._model


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Returns whether two tensors in one storage have elements in common; of large tensors and
    other dtypes, whether their spans overlap."""
    (start, end), (first, last) = _span(one), _span(other)
    if not (start < last and first < end):
        return False
    if one.dtype != other.dtype or max(one.numel(), other.numel(), end, last) > _LARGEST:
        return True
    places = torch.arange(max(end, last) // one.element_size(), device="cpu")
    mine, theirs = (
        places.as_strided(t.shape, t.stride(), t.storage_offset()).flatten() for t in (one, other)
    )
    taken = torch.zeros(len(places), dtype=torch.bool, device="cpu")
    taken[mine] = True
    return bool(taken[theirs].any())


def _span(tensor: Tensor) -> tuple[int, int]:
    """Returns the first byte of a tensor in its storage, and the end."""
    if tensor.numel() == 0 or tensor.is_meta:
        return 0, 0
    strides = zip(tensor.shape, tensor.stride(), strict=True)
    length = 1 + sum((size - 1) * stride for size, stride in strides)
    start, size = int(tensor.storage_offset()), tensor.element_size()
    return start * size, (start + length) * size
