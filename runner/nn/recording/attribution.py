"""Attribution: assigns the recorded history of each tensor to the module that owns it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.nested import leaves, rebuild
from runner.nn.recording.initial_values import Fill, Owned, RecordedCall, owned
from runner.nn.recording.provenance import TensorHistories
from runner.nn.recording.tensor_history import (
    History,
    InPlaceCall,
    RecordedTensor,
    geometry_of,
    storage_of,
)
from runner.nn.recording.torch_functions import CASTS
from runner.nn.values.build import is_leaf
from runner.operators import is_random

LITERALS = 64  # maximum number of leaves in the arguments of a call that is worth repeating
PLAIN = (bool, int, float, complex, str, torch.dtype, torch.device, torch.memory_format,
         torch.layout, type(None), type(Ellipsis), Owned)  # fmt: skip


class UnknownError(Exception):
    """A call that cannot be repeated."""


@final
class Attribution:
    """An analysis of the origins and fills of the tensors of some modules."""

    def __init__(self, histories: TensorHistories, modules: Sequence[nn.Module]) -> None:
        self.histories = histories
        self.modules = modules
        self.owners: dict[int, Owned] = {}
        self.parents: dict[nn.Module, nn.Module] = {}
        self._drawn: dict[int, int] = {}  # order of a random call -> the use of its result
        self._named: set[int] = set()  # orders of the random calls in the value being resolved
        self._use = 0  # see _resolved
        self._again = False
        self._inside: int | None = None
        self._at: int | None = None
        for module in modules:
            for name, tensor in own_tensors(module):
                self._own(module, name, tensor)
            for child in module.children():
                self.parents.setdefault(child, module)

    def _own(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        """Assigns a tensor to the first module that has it. If several tensors share memory, the
        owner is the one that held the memory first."""
        owner = self.owners.setdefault(storage_of(tensor), Owned(module, name))
        if getattr(owner.owner, owner.name) is not tensor:
            history = self.histories.by_storage.get(storage_of(tensor))
            holder = history and history.holder
            if holder is not None and (holder.owner, holder.name) == (module, name):
                self.owners[storage_of(tensor)] = holder

    def origins(self, module: nn.Module) -> dict[str, RecordedCall | Owned | None]:
        """Returns the origins of the tensors of a module by name; None if unknown. Tensors made by
        the constructor of a leaf are omitted."""
        found: dict[str, RecordedCall | Owned | None] = {}
        for name, tensor in own_tensors(module):
            owner = self.owners[storage_of(tensor)]
            if (owner.owner, owner.name) != (module, name):
                found[name] = owner if is_whole(tensor, owner) else None
            elif storage_of(tensor) in self.histories.by_storage:
                history = self.histories.by_storage[storage_of(tensor)]
                if not is_leaf(type(module)) or not self._of_leaf(history):
                    found[name] = self._origin(tensor, history)
            elif not is_leaf(type(module)):
                found[name] = None
        return found

    def random(self, module: nn.Module) -> frozenset[str]:
        """Returns the names of the tensors of a module that may depend on random numbers."""
        own = own_tensors(module)
        return frozenset(name for name, tensor in own if self.histories.is_random(tensor))

    def _of_leaf(self, history: History) -> bool:
        """Returns whether a leaf's constructor made the tensor, perhaps with another dtype."""
        made = history.made
        if made is not None and made.target in CASTS and isinstance(made.args[0], RecordedTensor):
            history = self.histories.by_storage.get(made.args[0].storage, history)
        return history.made is None and history.held

    def origin(self, tensor: Tensor) -> RecordedCall | None:
        """Returns the call that made a tensor; None if unknown, or if a leaf made it."""
        history = self.histories.by_storage.get(storage_of(tensor))
        return history and self._origin(tensor, history)

    def _origin(self, tensor: Tensor, history: History) -> RecordedCall | None:
        made: RecordedCall | RecordedTensor | None = history.made
        if geometry_of(tensor) != history.geometry:
            made = (
                None if history.events else self.histories.value(tensor)
            )  # a view of a recorded tensor
        if made is None:
            return None
        try:
            use = -storage_of(tensor)
            known: RecordedCall = self._resolved(
                made, use, storage_of(tensor), again=history.copied
            )
        except UnknownError:
            return None
        return known

    def fills(self) -> Iterator[Fill]:
        """Yields the fills of all modules, without overwritten ones that nothing depends on."""
        every = [fills for module in self.modules for fills in self._fills(module)]
        used = {key for fills in every for f in fills for key in owned((f.args, {**f.kwargs}))}
        used |= {key for m in self.modules for made in self.origins(m).values()
                 if isinstance(made, RecordedCall) for key in owned(made)}  # fmt: skip
        for fills in every:
            last = max((i for i, fill in enumerate(fills) if fill.whole), default=0)
            for i, fill in enumerate(fills):
                if i >= last or fill.random or (fill.owner, fill.name) in used:
                    yield replace(fill, overwritten=i < last)

    def _fills(self, module: nn.Module) -> Iterator[list[Fill]]:
        """Yields the list of fills of each tensor of a module."""
        for name, tensor in own_tensors(module):
            owner = self.owners[storage_of(tensor)]
            history = self.histories.by_storage.get(storage_of(tensor))
            if history is not None and (owner.owner, owner.name) == (module, name):
                whole = geometry_of(tensor) == history.geometry
                events = [e for e in history.events if not e.of_copy or self._has_owner(e)]
                yield [self._fill(event, owner, tensor, whole) for event in events]

    def _has_owner(self, event: InPlaceCall) -> bool:
        """Returns whether the original of a deep copy still belongs to a module."""
        [value] = event.call.args
        return isinstance(value, RecordedTensor) and self._heir(value.storage) in self.owners

    def _fill(self, event: InPlaceCall, owner: Owned, tensor: Tensor, whole: bool) -> Fill:
        call, part, repeatable = event.call, event.part or (), whole and event.part is not None
        try:
            inside = storage_of(tensor) if event.anew else None
            call = self._resolved(call, call.order, inside)
            part = tuple(self._resolved(step, call.order) for step in part)
        except UnknownError:
            repeatable, call, part = False, replace(call, args=(), kwargs={}), ()
        return Fill(self._scope(event, owner.owner), owner.owner, owner.name, call.target,
                    call.function, call.args, call.kwargs, call.order, event.place, repeatable,
                    False, part)  # fmt: skip

    def _scope(self, event: InPlaceCall, owner: nn.Module) -> nn.Module:
        above = [owner]
        while above[-1] in self.parents and len(above) < 1000:
            above.append(self.parents[above[-1]])
        if event.scope in above:
            return event.scope
        if event.levels is not None and event.levels < len(above):
            return above[event.levels]
        return above[-1]

    def _resolved(
        self, value: Any, use: int, inside: int | None = None, *, again: bool = False
    ) -> Any:
        """Returns arguments with tensors replaced by RecordedCall or Owned. Raises UnknownError.

        `use` identifies the user of the result: a random call with two uses, or occurring twice in
        one, would be drawn twice, and is refused. `inside` is the storage whose own origin is
        resolved; `again` marks a copy, which may repeat a random call used elsewhere.
        """
        self._again = again
        self._named = set()
        self._use, self._inside = use, inside
        self._at = value.order if isinstance(value, RecordedCall) else None
        return self._known(value)

    def _known(self, value: Any) -> Any:
        return rebuild(value, self._known_leaf)

    def _known_leaf(self, value: Any) -> Any:
        if isinstance(value, RecordedTensor):
            return self._seen(value)
        if isinstance(value, RecordedCall):
            self._check(value)
            return replace(value, args=self._known(value.args), kwargs=self._known(value.kwargs))
        if not isinstance(value, PLAIN):
            raise UnknownError
        return value

    def _seen(self, value: RecordedTensor) -> Any:
        storage = self._heir(value.storage)
        owner = self.owners.get(storage)
        if owner is None or value.storage == self._inside:
            if value.made is None:
                raise UnknownError
            return self._known(value.made)
        if not is_whole(value.tensor, owner) or self._changed_since(value, storage):
            raise UnknownError
        return owner

    def _heir(self, storage: int) -> int:
        """Returns the storage that finally replaced a storage, or the storage itself."""
        seen = {storage}
        while (heir := self.histories.heirs.get(storage)) is not None and heir not in seen:
            storage = heir
            seen.add(heir)
        return storage

    def _changed_since(self, seen: RecordedTensor, storage: int) -> bool:
        """Returns whether a tensor changed in place between its use and the resolved call."""
        history = self.histories.by_storage.get(storage)
        orders = (e.call.order for e in history.events) if history is not None else ()
        return any(seen.order < order and order < (self._at or 0) for order in orders)

    def _check(self, made: RecordedCall) -> None:
        """Raises UnknownError if a call cannot be repeated here."""
        if is_random(made.target):
            again = self._drawn.setdefault(made.order, self._use) != self._use
            if (again and not self._again) or made.order in self._named:
                raise UnknownError
            self._named.add(made.order)
        if not made.target or len(leaves(made.args)) > LITERALS:
            raise UnknownError


def own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yields (name, tensor) of the parameters and buffers of a module itself."""
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is not None:
            yield name, tensor


def shared_with(module: nn.Module, value: Any) -> tuple[str, bool] | None:
    """Returns the path of the parameter or buffer of a module whose memory a plain attribute is
    (True) or views (False); None if it has its own."""
    if not isinstance(value, Tensor) or value.numel() == 0:
        return None
    found = {
        (f"{path}.{name}" if path else name): geometry_of(tensor) == geometry_of(value)
        for path, inner in module.named_modules()
        for name, tensor in own_tensors(inner)
        if storage_of(tensor) == storage_of(value)
    }
    return max(found.items(), key=lambda item: item[1], default=None)


def is_whole(tensor: Tensor, owner: Owned) -> bool:
    """Returns whether a tensor is the whole owned tensor, not a part or a view of it."""
    return geometry_of(tensor) == geometry_of(getattr(owner.owner, owner.name))
