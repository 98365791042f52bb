"""Traces all calls of torch functions, and records the calls that make and change each tensor.

For tensors made outside a leaf's constructor (a torch.nn layer, a class with @basic_unit), the
tracer keeps the call; for all tensors, the in-place calls. Calls inside a leaf's constructor are
not recorded, since calling the constructor again repeats them.
"""

import functools
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
from runner.nn.recording.call_stack import (
    INIT,
    caller,
    filler,
    fills,
    initializer,
    initializer_call,
    keeps_arguments,
    starts_over,
)
from runner.nn.recording.initial_values import Owned, RecordedCall
from runner.nn.recording.provenance import TensorHistories
from runner.nn.recording.randomness import READS
from runner.nn.recording.tensor_history import (
    History,
    InPlaceCall,
    RecordedTensor,
    StorageLocation,
    ViewSteps,
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
from runner.nn.values.build import is_leaf
from runner.nn.values.frames import constructing
from runner.operators import overwrites


@final
class TensorTracer(TorchFunctionMode):
    """A recorder of the histories of tensors in `histories` while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.histories = TensorHistories()
        self._slots: WeakKeyDictionary[nn.Module, dict[str, Tensor]] = WeakKeyDictionary()
        self._hooks: list[Any] = []
        self._keeps_arguments = functools.cache(keeps_arguments)
        self._init: FrameType | None = None  # the frame of the most recent initializer

    def __enter__(self) -> "TensorTracer":
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
        before = StorageLocation(args[0]) if sets_data(function) else None
        result = function(*args, **kwargs)
        frame = caller(sys._getframe(1))
        try:
            if before is not None:
                self._move(before, args[0], constructing(frame))
            elif name_of(function) in READS:
                self._read(args)
            elif makes_or_changes(function, result) or frame.f_globals.get("__name__") == INIT:
                self._note(function, args, kwargs, result, frame)
        except Exception:  # the user's call itself succeeded: only its record is lost
            for tensor in tensors_in((args, kwargs, result)):
                self._lose(tensor)
        return result

    def _lose(self, tensor: Tensor) -> None:
        """Marks the value of a tensor as unknown."""
        lost = RecordedCall("", unseen, (), {}, self.histories.tick())
        random = self.histories.is_random(tensor)
        history = self.histories.begin(tensor, None, random=random)
        history.events.append(InPlaceCall(lost, None, 0, None))

    def _read(self, tensors: Any) -> None:
        """Records that values of tensors were read, from which other tensors may be made."""
        if any(self.histories.is_random(tensor) for tensor in tensors_in(tensors)):
            self.histories.randomness.read()

    def _note(self, function: Any, args: Any, kwargs: Any, result: Any, frame: FrameType) -> None:
        scope = constructing(frame)
        if scope is not None and is_leaf(type(scope)):
            return
        run = initializer(frame)
        if run is not None and (run is self._init or not fills(run)):
            return  # a call inside an initializer that is recorded as a whole
        if run is None and (found := filler(frame, self._keeps_arguments)) is not None:
            if found is self._init:
                return
            run = found if starts_over(function, args, found) else None
        if run is not None:
            self._init = run
            tensor, call = initializer_call(run, self.histories.tick())
            self._change(tensor, call, scope)
        elif (out := kwargs.get("out")) is not None:
            unknown = RecordedCall("", function, (), {}, self.histories.tick())
            for tensor in tensors_in(out):
                self._change(tensor, unknown, scope)
        elif changes(function):
            call = self.histories.call(function, args, kwargs)
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
                call = self.histories.call(function, args, kwargs)
                self._view(result, base, (replace(call, args=call.args[1:]),))
        elif storage_of(result) not in self.histories.by_storage:
            self.histories.begin(result, self.histories.call(function, args, kwargs))

    def _make_several(self, results: Any, function: Any, args: Any, kwargs: Any) -> None:
        """Records several results of one call, new tensors or views (`chunk`)."""
        for base in args:
            if isinstance(base, Tensor) and storage_of(base) not in self.histories.by_storage:
                self.histories.begin(base, None)
        whole = self.histories.call(function, args, kwargs)
        first = args[0] if isinstance(args[0], Tensor) else None
        for i, item in enumerate(results):
            if isinstance(item, Tensor):
                call = RecordedCall(
                    "operator:getitem", operator.getitem, (whole, i), {}, whole.order
                )
                if first is not None and storage_of(item) == storage_of(first):
                    step = replace(whole, args=whole.args[1:])
                    self._view(item, first, (step, replace(call, args=(i,))))
                elif history := self.histories.by_storage.get(storage_of(item)):
                    history.seen[geometry_of(item)] = call
                else:
                    self.histories.begin(item, call)

    def _view(self, view: Tensor, base: Tensor, steps: ViewSteps) -> None:
        history = self.histories.known(base)
        history.views.setdefault(geometry_of(view), (steps, base))

    def _change(self, tensor: Tensor, call: RecordedCall, scope: nn.Module | None) -> None:
        history = self.histories.known(tensor)
        part = self.histories.part(tensor, history) if call.target else None
        if call.target == ".__setitem__":
            call = replace(call, target="operator:setitem", function=operator.setitem)
        history.events.append(InPlaceCall(call, scope, _place(scope), part))
        history.seen = {}
        whole = part == () and call.target != "operator:setitem"
        anew = whole and overwrites(call.target)
        before = history.made if anew else history.now
        known = whole and before is not None
        history.now = replace(call, args=(before, *call.args)) if known else None
        history.random = self.histories.gives_random(call) or (history.random and not anew)

    def _copy(self, tensor: Tensor, copy: Tensor, scope: nn.Module | None) -> None:
        """Records a deep copy. Its history continues that of its original, in case the original is
        gone once the model is built."""
        if history := self.histories.by_storage.get(storage_of(tensor)):
            twin = self.histories.begin(copy, history.made, random=history.random)
            twin.now, twin.held, twin.copied = history.now, history.held, True
            twin.events = [replace(e, levels=_levels(e, tensor)) for e in history.events]
            if history.held:
                value = self.histories.value(tensor)
                call = RecordedCall(".copy_", Tensor.copy_, (value,), {}, self.histories.tick())
                event = InPlaceCall(call, scope, _place(scope), (), of_copy=True)
                twin.events.append(event)

    # Tensors that replace others

    def _registered(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        """Records the registration of a parameter or buffer. A hook of torch."""
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
        if storage_of(tensor) not in self.histories.by_storage:
            self.histories.begin(tensor, None, random=True if made_by_leaf else None)
        if before is not None and not made_by_leaf:
            self._replace(StorageLocation(before), tensor, scope, leaf=is_leaf(type(module)))
        history = self.histories.by_storage[storage_of(tensor)]
        if not history.held:
            history.holder = Owned(module, name)
        history.held = True

    def _move(self, before: StorageLocation, tensor: Tensor, scope: nn.Module | None) -> None:
        """Records an assignment of other data to a tensor (`weight.data = ...`)."""
        old = self.histories.by_storage.get(before.storage)
        new = self.histories.known(tensor)
        if new is old or new.held:
            return
        if old is not None and _is_cast(new.now, before.storage):
            dtype = tensor.dtype
            made, now = (
                m and RecordedCall(".to", Tensor.to, (m, dtype), {}, self.histories.tick())
                for m in (old.made, old.now)
            )
            if _is_anothers(old, tensor):  # they shared memory, and no longer do
                made = now = RecordedCall("", unseen, (), {}, self.histories.tick())
            new = History(memory_of(tensor), geometry_of(tensor), made, now, old.random, old.events)
            new.holder = old.holder
            self.histories.by_storage[storage_of(tensor)] = new
        elif scope is None or not is_leaf(type(scope)):
            self._replace(before, tensor, scope, leaf=True)
        self.histories.by_storage[storage_of(tensor)].held = True

    def _replace(
        self, before: StorageLocation, tensor: Tensor, scope: nn.Module | None, *, leaf: bool
    ) -> None:
        """Records a tensor that replaces another one as an in-place copy of its values. For `leaf`,
        always; else only if the values depend on the other one, which is otherwise dropped."""
        old = self.histories.by_storage.get(before.storage)
        new = self.histories.by_storage[storage_of(tensor)]
        like = before.geometry[1:4:2] == geometry_of(tensor)[1:4:2]  # shape and dtype
        if old is None or new is old or new.held or not like:
            return
        value = self.histories.value(tensor)
        if not leaf and not _depends(value, before.storage):
            return
        call = RecordedCall(".copy_", Tensor.copy_, (value,), {}, self.histories.tick())
        event = InPlaceCall(call, scope, _place(scope), (), anew=True)
        self.histories.heirs[before.storage] = storage_of(tensor)
        self.histories.by_storage[storage_of(tensor)] = History(
            new.storage, geometry_of(tensor), old.made, new.now, new.random, [*old.events, event]
        )


def _depends(value: Any, storage: int) -> bool:
    """Returns whether a value was computed from the contents of a storage."""
    if isinstance(value, RecordedTensor):
        return value.storage == storage or (
            value.made is not None and _depends(value.made, storage)
        )
    if isinstance(value, RecordedCall):
        return any(_depends(leaf, storage) for leaf in leaves((value.args, value.kwargs)))
    return False


def _is_cast(made: RecordedCall | None, storage: int) -> bool:
    """Returns whether a call casts the contents of a storage to another dtype."""
    if made is None or made.target not in CASTS:
        return False
    return isinstance(made.args[0], RecordedTensor) and made.args[0].storage == storage


def _is_anothers(history: History, tensor: Tensor) -> bool:
    """Returns whether another parameter held the memory first, and still exists."""
    holder = history.holder
    first = None if holder is None else holder.owner._parameters.get(holder.name)
    return first is not None and first is not tensor


def _place(scope: nn.Module | None) -> int:
    if scope is None or "_modules" not in vars(scope):
        return 0
    return len(scope._modules) + len(scope._parameters) + len(scope._buffers)


def _levels(event: InPlaceCall, tensor: Tensor) -> int | None:
    """Returns the number of levels from the owner of a tensor up to the scope of an event."""
    if event.levels is not None or event.scope is None or "_modules" not in vars(event.scope):
        return event.levels
    named = (*event.scope.named_parameters(), *event.scope.named_buffers())
    found = (name for name, other in named if storage_of(other) == storage_of(tensor))
    return next((name.count(".") for name in found), None)
