"""Watch: sees every call of a torch function, and keeps what made and changed each tensor.

Of tensors made outside of a leaf's constructor (a torch.nn layer, a class with @basic_unit) it
keeps the call; of all tensors, the calls that changed them in place. What a leaf's constructor does
to its own tensors is not kept: calling it again does the same.
"""

import functools
import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType, MethodDescriptorType, WrapperDescriptorType
from typing import Any, final

import torch
from torch import Tensor, UntypedStorage, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from runner.nn.build import is_leaf
from runner.nn.stack import (
    INIT,
    caller,
    constructing,
    filler,
    fills,
    initializer,
    initializer_call,
    starts_over,
)
from runner.nn.start import Made, overwrites

Geometry = tuple[Any, ...]


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """A tensor among arguments, and what it held then: Made, or None where that is not known."""

    storage: int
    made: Made | None
    tensor: Tensor  # keeps the storage alive


@final
@dataclass(frozen=True)
class Event:
    """A call that changed a tensor in place: its arguments behind the tensor."""

    call: Made
    scope: nn.Module | None  # whose constructor was running
    place: int  # see Fill
    whole: bool  # whether all of the tensor was given to it, by a call that can be repeated
    levels: int | None = None  # of a copied tensor: how far above its owner the scope is


@final
@dataclass
class History:
    """What happened to one storage since it was made."""

    storage: UntypedStorage | Tensor  # keeps it alive
    geometry: Geometry  # of the tensor it was made as
    made: Made | None  # None: not seen
    now: Made | None  # what it holds now, None where that cannot be said in one expression
    events: list[Event] = field(default_factory=list)
    views: dict[Geometry, tuple[Made, Tensor | None]] = field(default_factory=dict)
    """Calls that gave other views of it, and the tensor that was their first argument; without one,
    the call is true as long as nothing changes."""


@final
class Watch(TorchFunctionMode):
    """Keeps the history of tensors while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.histories: dict[int, History] = {}
        self._clock = 0
        self._init: FrameType | None = None  # the run of a function of nn.init that was seen last

    def tick(self) -> int:
        """The next place in the order of all that is recorded."""
        self._clock += 1
        return self._clock

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._init = None

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        frame = caller(sys._getframe(1))
        if _makes_or_changes(function, result) or frame.f_globals.get("__name__") == INIT:
            try:
                self._note(function, args, kwargs, result, frame)
            except Exception:  # the user's call was right, whatever it was: only its record is lost
                for tensor in _tensors_in((args, kwargs, result)):
                    self._lose(tensor)
        return result

    def _lose(self, tensor: Tensor) -> None:
        """Nobody knows any more what a tensor holds."""
        unknown = Made("", _unknown, (), {}, self.tick())
        history = self._begin(tensor, None)
        history.events.append(Event(unknown, None, 0, False))

    def _note(self, function: Any, args: Any, kwargs: Any, result: Any, frame: FrameType) -> None:
        run = initializer(frame)
        if run is not None and (run is self._init or not fills(run)):
            return  # one of several calls that a function of nn.init consists of
        if run is None and (found := filler(frame)) is not None:
            if found is self._init:
                return
            run = found if starts_over(function, args, found) else None
        scope = constructing(frame)
        if scope is not None and is_leaf(type(scope)):
            return
        if run is not None:
            self._init = run
            tensor, call = initializer_call(run, self.tick())
            self._change(tensor, call, scope)
        elif (out := kwargs.get("out")) is not None:
            unknown = Made("", function, (), {}, self.tick())
            for tensor in _tensors_in(out):
                self._change(tensor, unknown, scope)
        elif _in_place(function):
            call = self._call(function, args, kwargs)
            self._change(args[0], replace(call, args=call.args[1:]), scope)
        elif _copies(function, frame):
            self._copy(args[0], result)
        elif isinstance(result, Tensor):
            self._make(result, function, args, kwargs)
        elif any(isinstance(item, Tensor) for item in result):
            self._make_several(result, function, args, kwargs)

    def _make(self, result: Tensor, function: Any, args: Any, kwargs: Any) -> None:
        base = args[0] if args and isinstance(args[0], Tensor) else result
        if base is not result and storage_of(base) == storage_of(result):
            if geometry_of(base) != geometry_of(result):
                history = self.histories.get(storage_of(base)) or self._begin(base, None)
                history.views[geometry_of(result)] = (self._call(function, args, kwargs), base)
        elif storage_of(result) not in self.histories:
            self._begin(result, self._call(function, args, kwargs))

    def _make_several(self, results: Any, function: Any, args: Any, kwargs: Any) -> None:
        """Several tensors of one call, new ones or views (`chunk`)."""
        for base in args:
            if isinstance(base, Tensor) and storage_of(base) not in self.histories:
                self._begin(base, None)
        whole = self._call(function, args, kwargs)
        for i, item in enumerate(results):
            if isinstance(item, Tensor):
                call = Made("operator:getitem", operator.getitem, (whole, i), {}, whole.order)
                if history := self.histories.get(storage_of(item)):
                    history.views[geometry_of(item)] = (call, None)
                else:
                    self._begin(item, call)

    def _begin(self, tensor: Tensor, made: Made | None) -> History:
        dense = tensor.layout is torch.strided and not is_lazy(tensor)
        memory = tensor.untyped_storage() if dense else tensor
        history = History(memory, geometry_of(tensor), made, made)
        self.histories[storage_of(tensor)] = history
        return history

    def _change(self, tensor: Tensor, call: Made, scope: nn.Module | None) -> None:
        history = self.histories.get(storage_of(tensor)) or self._begin(tensor, None)
        whole = geometry_of(tensor) == history.geometry and call.target not in ("", ".__setitem__")
        history.events.append(Event(call, scope, _place(scope), whole))
        history.views = {g: view for g, view in history.views.items() if view[1] is not None}
        before = history.made if overwrites(call.target) else history.now
        known = whole and before is not None
        history.now = replace(call, args=(before, *call.args)) if known else None

    def _copy(self, tensor: Tensor, copy: Tensor) -> None:
        """A deep copy: it was made, and filled, as its original."""
        if history := self.histories.get(storage_of(tensor)):
            twin = self._begin(copy, history.made)
            twin.now = history.now
            twin.events = [replace(e, levels=_levels(e, tensor)) for e in history.events]

    def _call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Made:
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        if str(kwargs.get("device")) in ("meta", str(torch.get_default_device())):
            del kwargs["device"]  # an ambient one, which has no place in a model
        if _name(function) == "__get__":  # tensor.T
            name = function.__self__.__name__
            return Made("builtins:getattr", getattr, (self._now(args[0]), name), {}, self.tick())
        here, named = self._now(tuple(args)), self._now(kwargs)
        return Made(_target(function), function, here, named, self.tick())

    def _now(self, value: Any) -> Any:
        """Arguments, with what is known of the tensors in them."""
        if isinstance(value, Tensor):
            return self.value(value)
        if isinstance(value, tuple):  # a torch.Size too
            return tuple(map(self._now, value))
        if isinstance(value, list):
            return [*map(self._now, value)]
        if isinstance(value, dict):
            return {name: self._now(item) for name, item in value.items()}
        return value

    def value(self, tensor: Tensor) -> Made | Seen:
        """What a tensor holds now."""
        history = self.histories.get(storage_of(tensor))
        if history is None or geometry_of(tensor) == history.geometry:
            return Seen(storage_of(tensor), history and history.now, tensor)
        if geometry_of(tensor) in history.views:
            call, base = history.views[geometry_of(tensor)]
            return call if base is None else replace(call, args=(self.value(base), *call.args[1:]))
        return Made("", _unknown, (), {}, self.tick())


# Tensors


def storage_of(tensor: Tensor) -> int:
    """The identity of a tensor's memory, which its views and aliases share."""
    if tensor.layout is not torch.strided or is_lazy(tensor):
        return id(tensor)
    identity: int = tensor.untyped_storage()._cdata
    return identity


def geometry_of(tensor: Tensor) -> Geometry:
    """How a tensor lies in its memory."""
    if tensor.layout is not torch.strided or is_lazy(tensor):
        return (id(tensor),)
    return tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def _tensors_in(argument: Any) -> Iterator[Tensor]:
    """The tensors among arguments."""
    if isinstance(argument, Tensor):
        yield argument
    elif isinstance(argument, tuple | list):
        for item in argument:
            yield from _tensors_in(item)
    elif isinstance(argument, dict):
        yield from _tensors_in([*argument.values()])


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


# Functions

SET_ITEM = Tensor.__setitem__
IN_PLACE = {"__iadd__", "__isub__", "__imul__", "__itruediv__", "__idiv__", "__ipow__",
            "__ifloordiv__", "__imod__", "__iand__", "__ior__", "__ixor__"}  # fmt: skip
KEEP_VALUES = {"requires_grad_", "detach_", "share_memory_", "rename_", "set_"}


def _name(function: Any) -> str:
    name: str = getattr(function, "__name__", "")
    return name


def _makes_or_changes(function: Any, result: Any) -> bool:
    return isinstance(result, Tensor | tuple | list) or function is SET_ITEM


def _in_place(function: Any) -> bool:
    name = _name(function)
    if name.endswith("__"):
        return function is SET_ITEM or name in IN_PLACE
    return name.endswith("_") and name not in KEEP_VALUES


@functools.cache
def _target(function: Any) -> str:
    """Where a function is found: "module:qualname", or ".name" for a method of a tensor; "" for one
    that is hidden."""
    name = _name(function)
    method = isinstance(function, MethodDescriptorType | WrapperDescriptorType)
    if method or getattr(Tensor, name, None) is function:
        return f".{name}"
    home = sys.modules.get(getattr(function, "__module__", None) or "torch", torch)
    for module in (torch, home):
        if getattr(module, name, None) is function:
            return f"{module.__name__}:{name}"
    return ""


def _unknown(*args: Any) -> None:
    """Stands for a call that was not seen."""


def _copies(function: Any, frame: FrameType) -> bool:
    """Whether a call is the part of a deep copy that copies the values."""
    if _name(function) == "__deepcopy__":
        return True
    inside = frame.f_code.co_name == "__deepcopy__" and _name(function) == "clone"
    return inside and frame.f_globals["__name__"].startswith("torch.")
