"""Watch: sees every call of a torch function, and keeps what made and changed each tensor.

Of tensors made outside of a leaf's constructor (a torch.nn layer, a class with @basic_unit) it
keeps the call; of all tensors, the calls that changed them in place. What a leaf's constructor does
to its own tensors is not kept: calling it again does the same.
"""

import operator
import sys
from dataclasses import replace
from types import FrameType
from typing import Any, final
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from runner.nested import leaves
from runner.nn.build import is_leaf
from runner.nn.recording.call_stack import (
    INIT,
    caller,
    constructing,
    filler,
    fills,
    initializer,
    initializer_call,
    starts_over,
)
from runner.nn.recording.initial_values import Made, Owned
from runner.nn.recording.provenance import Ledger
from runner.nn.recording.randomness import READS
from runner.nn.recording.tensor_history import (
    Before,
    Event,
    History,
    Seen,
    Steps,
    geometry_of,
    memory_of,
    storage_of,
    tensors_in,
)
from runner.nn.recording.torch_functions import (
    CASTS,
    changes,
    copies,
    makes_or_changes,
    name_of,
    sets_data,
    unseen,
    unwatched,
)
from runner.operators import overwrites


@final
class Watch(TorchFunctionMode):
    """Keeps the history of tensors, in its `ledger`, while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self._slots: WeakKeyDictionary[nn.Module, dict[str, Tensor]] = WeakKeyDictionary()
        self._hooks: list[Any] = []
        self._init: FrameType | None = None  # the run of a function of nn.init that was seen last

    def __enter__(self) -> "Watch":
        super().__enter__()  # type: ignore[no-untyped-call]
        self._hooks = [
            register_module_parameter_registration_hook(self._registered),
            register_module_buffer_registration_hook(self._registered),
        ]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._init = None

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        before = Before(args[0]) if sets_data(function) else None
        result = function(*args, **kwargs)
        frame = caller(sys._getframe(1))
        try:
            if before is not None:
                self._move(before, args[0], constructing(frame))
            elif name_of(function) in READS:
                self._read(args)
            elif makes_or_changes(function, result) or frame.f_globals.get("__name__") == INIT:
                self._note(function, args, kwargs, result, frame)
        except Exception:  # the user's call was right, whatever it was: only its record is lost
            for tensor in tensors_in((args, kwargs, result)):
                self._lose(tensor)
        return result

    def _lose(self, tensor: Tensor) -> None:
        """Nobody knows any more what a tensor holds."""
        lost = Made("", unseen, (), {}, self.ledger.tick())
        random = self.ledger.is_random(tensor)
        history = self.ledger.begin(tensor, None, random=random)
        history.events.append(Event(lost, None, 0, None))

    def _read(self, tensors: Any) -> None:
        """Numbers of tensors are read out; who has them may make other tensors of them."""
        if any(self.ledger.is_random(tensor) for tensor in tensors_in(tensors)):
            self.ledger.chance.read()

    def _note(self, function: Any, args: Any, kwargs: Any, result: Any, frame: FrameType) -> None:
        scope = constructing(frame)
        if scope is not None and is_leaf(type(scope)):
            return
        run = initializer(frame)
        if run is not None and (run is self._init or not fills(run)):
            return  # one of several calls that a function of nn.init consists of
        if run is None and (found := filler(frame)) is not None:
            if found is self._init:
                return
            run = found if starts_over(function, args, found) else None
        if run is not None:
            self._init = run
            tensor, call = initializer_call(run, self.ledger.tick())
            self._change(tensor, call, scope)
        elif (out := kwargs.get("out")) is not None:
            unknown = Made("", function, (), {}, self.ledger.tick())
            for tensor in tensors_in(out):
                self._change(tensor, unknown, scope)
        elif changes(function):
            call = self.ledger.call(function, args, kwargs)
            self._change(args[0], replace(call, args=call.args[1:]), scope)
        elif copies(function, frame):
            self._copy(args[0], result, scope)
        elif isinstance(result, Tensor):
            self._make(result, function, args, kwargs)
        elif any(isinstance(item, Tensor) for item in result):
            self._make_several(result, function, args, kwargs)

    def _make(self, result: Tensor, function: Any, args: Any, kwargs: Any) -> None:
        base = args[0] if args and isinstance(args[0], Tensor) else result
        if base is not result and storage_of(base) == storage_of(result):
            if geometry_of(base) != geometry_of(result):
                call = self.ledger.call(function, args, kwargs)
                self._view(result, base, (replace(call, args=call.args[1:]),))
        elif storage_of(result) not in self.ledger.histories:
            self.ledger.begin(result, self.ledger.call(function, args, kwargs))

    def _make_several(self, results: Any, function: Any, args: Any, kwargs: Any) -> None:
        """Several tensors of one call, new ones or views (`chunk`)."""
        for base in args:
            if isinstance(base, Tensor) and storage_of(base) not in self.ledger.histories:
                self.ledger.begin(base, None)
        whole = self.ledger.call(function, args, kwargs)
        first = args[0] if isinstance(args[0], Tensor) else None
        for i, item in enumerate(results):
            if isinstance(item, Tensor):
                call = Made("operator:getitem", operator.getitem, (whole, i), {}, whole.order)
                if first is not None and storage_of(item) == storage_of(first):
                    step = replace(whole, args=whole.args[1:])
                    self._view(item, first, (step, replace(call, args=(i,))))
                elif history := self.ledger.histories.get(storage_of(item)):
                    history.seen[geometry_of(item)] = call
                else:
                    self.ledger.begin(item, call)

    def _view(self, view: Tensor, base: Tensor, steps: Steps) -> None:
        history = self.ledger.known(base)
        history.views.setdefault(geometry_of(view), (steps, base))

    def _change(self, tensor: Tensor, call: Made, scope: nn.Module | None) -> None:
        history = self.ledger.known(tensor)
        part = self.ledger.part(tensor, history) if call.target else None
        if call.target == ".__setitem__":
            call = replace(call, target="operator:setitem", function=operator.setitem)
        history.events.append(Event(call, scope, _place(scope), part))
        history.seen = {}
        whole = part == () and call.target != "operator:setitem"
        anew = whole and overwrites(call.target)
        before = history.made if anew else history.now
        known = whole and before is not None
        history.now = replace(call, args=(before, *call.args)) if known else None
        history.random = self.ledger.gives_random(call) or (history.random and not anew)

    def _copy(self, tensor: Tensor, copy: Tensor, scope: nn.Module | None) -> None:
        """A deep copy: it was made, and filled, as its original, if it does not outlive that."""
        if history := self.ledger.histories.get(storage_of(tensor)):
            twin = self.ledger.begin(copy, history.made, random=history.random)
            twin.now, twin.held, twin.copied = history.now, history.held, True
            twin.events = [replace(e, levels=_levels(e, tensor)) for e in history.events]
            if history.held:
                value = self.ledger.value(tensor)
                call = Made(".copy_", Tensor.copy_, (value,), {}, self.ledger.tick())
                event = Event(call, scope, _place(scope), (), of_copy=True)
                twin.events.append(event)

    # Tensors that take the place of others

    def _registered(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        """A module is given a parameter or buffer."""
        with unwatched():
            self._hold(module, name, tensor)

    def _hold(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        slots = self._slots.setdefault(module, {})
        before = slots.get(name)
        if tensor is None:
            return
        slots[name] = tensor
        scope = constructing(sys._getframe(2))
        made_by_leaf = scope is not None and is_leaf(type(scope))
        if storage_of(tensor) not in self.ledger.histories:
            self.ledger.begin(tensor, None, random=True if made_by_leaf else None)
        if before is not None and not made_by_leaf:
            self._replace(Before(before), tensor, scope, leaf=is_leaf(type(module)))
        history = self.ledger.histories[storage_of(tensor)]
        if not history.held:
            history.holder = Owned(module, name)
        history.held = True

    def _move(self, before: Before, tensor: Tensor, scope: nn.Module | None) -> None:
        """A tensor was given other data (`weight.data = ...`)."""
        old = self.ledger.histories.get(before.storage)
        new = self.ledger.known(tensor)
        if new is old or new.held:
            return
        if old is not None and _is_cast(new.now, before.storage):
            dtype = tensor.dtype
            made, now = (
                m and Made(".to", Tensor.to, (m, dtype), {}, self.ledger.tick())
                for m in (old.made, old.now)
            )
            if _is_anothers(old, tensor):  # they were in one memory, and are in two now
                made = now = Made("", unseen, (), {}, self.ledger.tick())
            new = History(memory_of(tensor), geometry_of(tensor), made, now, old.random, old.events)
            new.holder = old.holder
            self.ledger.histories[storage_of(tensor)] = new
        elif scope is None or not is_leaf(type(scope)):
            self._replace(before, tensor, scope, leaf=True)
        self.ledger.histories[storage_of(tensor)].held = True

    def _replace(
        self, before: Before, tensor: Tensor, scope: nn.Module | None, *, leaf: bool
    ) -> None:
        """A tensor takes the place of another: as if that one were filled with its values. Where
        no leaf made the other one, it is forgotten unless the values depend on it."""
        old = self.ledger.histories.get(before.storage)
        new = self.ledger.histories[storage_of(tensor)]
        like = before.geometry[1:4:2] == geometry_of(tensor)[1:4:2]  # shape and dtype
        if old is None or new is old or new.held or not like:
            return
        value = self.ledger.value(tensor)
        if not leaf and not _depends(value, before.storage):
            return
        call = Made(".copy_", Tensor.copy_, (value,), {}, self.ledger.tick())
        event = Event(call, scope, _place(scope), (), anew=True)
        self.ledger.heirs[before.storage] = storage_of(tensor)
        self.ledger.histories[storage_of(tensor)] = History(
            new.storage, geometry_of(tensor), old.made, new.now, new.random, [*old.events, event]
        )


def _depends(value: Any, storage: int) -> bool:
    """Whether a value was computed from what a storage held."""
    if isinstance(value, Seen):
        return value.storage == storage or (
            value.made is not None and _depends(value.made, storage)
        )
    if isinstance(value, Made):
        return any(_depends(leaf, storage) for leaf in leaves((value.args, value.kwargs)))
    return False


def _is_cast(made: Made | None, storage: int) -> bool:
    """Whether a call gives what a storage holds in another type."""
    if made is None or made.target not in CASTS:
        return False
    return isinstance(made.args[0], Seen) and made.args[0].storage == storage


def _is_anothers(history: History, tensor: Tensor) -> bool:
    """Whether a parameter other than this one had the memory first, and is still there."""
    holder = history.holder
    first = None if holder is None else holder.owner._parameters.get(holder.name)
    return first is not None and first is not tensor


def _place(scope: nn.Module | None) -> int:
    if scope is None or "_modules" not in vars(scope):
        return 0
    return len(scope._modules) + len(scope._parameters) + len(scope._buffers)


def _levels(event: Event, tensor: Tensor) -> int | None:
    """How far above the owner of a tensor the scope of an event is."""
    if event.levels is not None or event.scope is None or "_modules" not in vars(event.scope):
        return event.levels
    named = (*event.scope.named_parameters(), *event.scope.named_buffers())
    found = (name for name, other in named if storage_of(other) == storage_of(tensor))
    return next((name.count(".") for name in found), None)
