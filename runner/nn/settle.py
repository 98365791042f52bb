"""Whose a tensor is, once a model is built: gives each module's record what was seen of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.nn.build import is_leaf
from runner.nn.start import Fill, Made, Owned, draws, leaves, overwrites
from runner.nn.watch import Event, History, Seen, Watch, geometry_of, storage_of

LITERALS = 64  # items in the arguments of a call that is worth repeating
PLAIN = (bool, int, float, complex, str, torch.dtype, torch.device, torch.memory_format,
         torch.layout, type(None), type(Ellipsis), Owned)  # fmt: skip


class UnknownError(Exception):
    """A call that cannot be repeated."""


@final
class Settled:
    """Origins and fills of the tensors of some modules."""

    def __init__(self, watch: Watch, modules: Sequence[nn.Module]) -> None:
        self.watch = watch
        self.modules = modules
        self.owners: dict[int, Owned] = {}
        self.parents: dict[nn.Module, nn.Module] = {}
        self._drawn: dict[int, int] = {}  # a random call's order -> the storage it went to
        for module in modules:
            for name, tensor in own_tensors(module):
                self.owners.setdefault(storage_of(tensor), Owned(module, name))
            for child in module.children():
                self.parents.setdefault(child, module)

    def origins(self, module: nn.Module) -> dict[str, Made | Owned | None]:
        """How the tensors of a module were made, by name; None for what cannot be said. Those that
        a leaf's constructor made are not listed."""
        found: dict[str, Made | Owned | None] = {}
        for name, tensor in own_tensors(module):
            owner = self.owners[storage_of(tensor)]
            if (owner.owner, owner.name) != (module, name):
                found[name] = owner if is_whole(tensor, owner) else None
            elif storage_of(tensor) in self.watch.histories:
                history = self.watch.histories[storage_of(tensor)]
                if history.made is not None or not is_leaf(type(module)):
                    found[name] = self._origin(tensor, history)
            elif not is_leaf(type(module)):
                found[name] = None
        return found

    def origin(self, tensor: Tensor) -> Made | None:
        """How a tensor was made; None for one of which that cannot be said, or that a leaf made."""
        history = self.watch.histories.get(storage_of(tensor))
        return history and self._origin(tensor, history)

    def _origin(self, tensor: Tensor, history: History) -> Made | None:
        made: Made | Seen | None = history.made
        if geometry_of(tensor) != history.geometry:
            made = None if history.events else self.watch.value(tensor)  # a view of something made
        try:
            return made and self._known(made, -storage_of(tensor), inside=storage_of(tensor))
        except UnknownError:
            return None

    def fills(self) -> Iterator[Fill]:
        """What was done to the tensors of all modules, where it matters."""
        for module in self.modules:
            yield from self._fills(module)

    def _fills(self, module: nn.Module) -> Iterator[Fill]:
        for name, tensor in own_tensors(module):
            owner = self.owners[storage_of(tensor)]
            history = self.watch.histories.get(storage_of(tensor))
            if history is None or (owner.owner, owner.name) != (module, name):
                continue
            whole = geometry_of(tensor) == history.geometry
            fills = [self._fill(event, owner, whole) for event in history.events]
            anew = [
                i for i, fill in enumerate(fills) if fill.repeatable and overwrites(fill.target)
            ]
            last = max(anew, default=0)
            for i, fill in enumerate(fills):
                if i >= last or fill.random:
                    yield replace(fill, overwritten=i < last)

    def _fill(self, event: Event, owner: Owned, whole: bool) -> Fill:
        call, repeatable = event.call, whole and event.whole
        try:
            call = self._known(call, call.order)
        except UnknownError:
            repeatable, call = False, replace(call, args=(), kwargs={})
        return Fill(self._scope(event, owner.owner), owner.owner, owner.name, call.target,
                    call.function, call.args, call.kwargs, call.order, event.place, repeatable,
                    False)  # fmt: skip

    def _scope(self, event: Event, owner: nn.Module) -> nn.Module:
        above = [owner]
        while above[-1] in self.parents and len(above) < 1000:
            above.append(self.parents[above[-1]])
        if event.scope in above:
            return event.scope
        if event.levels is not None and event.levels < len(above):
            return above[event.levels]
        return above[-1]

    def _known(self, value: Any, use: int, inside: int | None = None) -> Any:
        """Arguments in which tensors are calls, or owned. Raises UnknownError.

        `use` is what they are for: what was random once would be drawn twice for two uses.
        `inside` is the storage whose own making is asked for.
        """
        if isinstance(value, Seen):
            owner = self.owners.get(value.storage)
            if owner is None or value.storage == inside:
                if value.made is None:
                    raise UnknownError
                return self._known(value.made, use, inside)
            if not is_whole(value.tensor, owner):
                raise UnknownError
            return owner
        if isinstance(value, Made):
            again = draws(value.target) and self._drawn.setdefault(value.order, use) != use
            if again or not value.target or sum(1 for _ in leaves(value.args)) > LITERALS:
                raise UnknownError
            args, kwargs = (self._known(part, use, inside) for part in (value.args, value.kwargs))
            return replace(value, args=args, kwargs=kwargs)
        if isinstance(value, tuple):
            return tuple(self._known(item, use, inside) for item in value)
        if isinstance(value, list):
            return [self._known(item, use, inside) for item in value]
        if isinstance(value, dict):
            return {name: self._known(item, use, inside) for name, item in value.items()}
        if isinstance(value, slice):
            return slice(*self._known((value.start, value.stop, value.step), use, inside))
        if not isinstance(value, PLAIN):
            raise UnknownError
        return value


def own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a module itself."""
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is not None:
            yield name, tensor


def is_whole(tensor: Tensor, owner: Owned) -> bool:
    """Whether a tensor is all of what is owned, and not a part or a view of it."""
    return geometry_of(tensor) == geometry_of(getattr(owner.owner, owner.name))
