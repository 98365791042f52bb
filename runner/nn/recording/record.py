"""How modules were constructed, and how their tensors got their first values.

    with recording() as record:
        model = Net()
    record_of(model.head).args      # what the caller gave to the constructor
    record_of(model).fills          # calls of nn.init and the like in the constructor of Net
    record_of(model).origins        # how its own parameters and buffers were made
    record.origin(tensor), record.fills

Constructors: `nn.Module` defines no `__new__`, so one installed there is handed just what the
caller gave, for every subclass, and no class is touched. CPython cannot take it back (a class that
once had a `__new__` refuses arguments after its deletion), so it stays, switched by `recording`.
A torch.nn layer, or a class with @basic_unit, that is given an open value is built with the default
instead. The object is exactly of its class; only its record has what was given.

Tensors: `tracer` sees what is done to them, `initial_values` holds what is kept of it.
"""

import copyreg
import functools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, final
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from runner.errors import RunnerError, SymbolicError
from runner.nn.build import is_leaf
from runner.nn.expression import is_open, replace_open
from runner.nn.recording.attribution import Attribution
from runner.nn.recording.call_stack import users_line
from runner.nn.recording.initial_values import KEY as KEY
from runner.nn.recording.initial_values import Fill, Owned, RecordedCall, with_copies
from runner.nn.recording.tracer import TensorTracer
from runner.nn.value import decided

NEW_COPY = getattr(copyreg, "__newobj__").__code__  # noqa: B009, makes a copy to be filled


@final
class ConstructionRecord:
    """How a module was constructed. Copied with the module, never pickled.

    - `args`, `kwargs`: what the caller gave.
    - `lazy`: whether its class was another one then, whose shapes were to be found out.
    - `order`: when, on the clock of all that was recorded.
    - `copied`: whether it is a deep copy, made while it was recorded, of another module: it has the
      first values of that one, which a constructor call would draw anew.
    - `asked`: whether its constructor, or what that called, asked for a choice of a sample: without
      the sample, it makes something else.
    - `origins`: how its own parameters and buffers were made: a RecordedCall, an Owned (for one
      that is another module's, too), None where that cannot be said. Those that the constructor of
      a torch.nn layer or a basic unit makes are not listed.
    - `random`: the names of its own parameters and buffers whose first values depend on random
      numbers, or may.
    - `fills`: in order, the calls by which its constructor changed tensors of it, and of modules
      below it, in place.

    The last three are there once the recording has ended.
    """

    def __init__(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        self.args: tuple[Any, ...]
        self.kwargs: dict[str, Any]
        self.args, self.kwargs = _as_given((args, dict(kwargs or {})), {})
        self.lazy = False
        self.asked = False
        self.order = 0
        self.copied = False
        self.origins: dict[str, RecordedCall | Owned | None] = {}
        self.random: frozenset[str] = frozenset()
        self.fills: list[Fill] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> "ConstructionRecord":
        twin = ConstructionRecord(with_copies(self.args, memo), with_copies(self.kwargs, memo))
        recording = _recording.get()
        twin.lazy, twin.asked = self.lazy, self.asked
        twin.order = self.order if recording is None else recording.tracer.histories.tick()
        twin.copied = self.copied or recording is not None
        twin.origins = {name: with_copies(made, memo) for name, made in self.origins.items()}
        twin.random = self.random
        twin.fills = [with_copies(fill, memo) for fill in self.fills]
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return ConstructionRecord, ()


def _as_given(argument: Any, copies: dict[int, Any]) -> Any:
    """An argument whose lists and dicts are copies, so that it stays as it was given."""
    kind = type(argument)
    if kind is tuple:
        return tuple(_as_given(item, copies) for item in argument)
    if kind not in (list, dict):
        return argument
    if id(argument) not in copies:
        twin: Any = kind()
        copies[id(argument)] = twin
        if kind is list:
            twin.extend(_as_given(item, copies) for item in argument)
        else:
            twin.update((name, _as_given(item, copies)) for name, item in argument.items())
    return copies[id(argument)]


def record_of(module: nn.Module) -> ConstructionRecord | None:
    """The record of a module; None for one that was built outside `recording`, and for one that
    TorchScript compiled, since its constructor takes what only the compiler makes."""
    if isinstance(module, torch.jit.ScriptModule):
        return None
    return module.__dict__.get(KEY)


@final
class Recording:
    """What is recorded of all modules that are built; see `ConstructionRecord`."""

    def __init__(self) -> None:
        self.tracer = TensorTracer()
        self.fills: list[Fill] = []  # of all modules, in order, once it has ended
        self._modules: list[ref[nn.Module]] = []

    def add(self, module: nn.Module) -> None:
        """Note a module that is there from now on."""
        self._modules.append(ref(module))

    def origin(self, tensor: Tensor) -> RecordedCall | None:
        """How a tensor was made; None for one of which that cannot be said, or that the constructor
        of a torch.nn layer or a basic unit made."""
        return self._attribution().origin(tensor)

    def update_records(self) -> None:
        """Give each module's record what was seen of its tensors."""
        attribution = self._attribution()
        self.fills = sorted(attribution.fills(), key=lambda fill: fill.order)
        for module in attribution.modules:
            if record := record_of(module):
                record.origins = attribution.origins(module)
                record.random = attribution.random(module)
                record.fills = [fill for fill in self.fills if fill.scope is module]

    def _attribution(self) -> Attribution:
        alive = [module for reference in self._modules if (module := reference()) is not None]
        return Attribution(self.tracer.histories, [m for m in alive if "_modules" in m.__dict__])


_recording: ContextVar[Recording | None] = ContextVar("runner_recording", default=None)


@contextmanager
def recording() -> Iterator[Recording]:
    """Record how all modules that are built inside are constructed and get their first values."""
    if "__new__" not in vars(nn.Module):
        nn.Module.__new__ = staticmethod(_new)  # type: ignore[assignment]
    if (record := _recording.get()) is not None:  # one inside another is a part of it
        yield record
    else:
        record = Recording()
        token = _recording.set(record)
        try:
            with record.tracer:
                yield record
        finally:
            _recording.reset(token)
    record.update_records()


def update_records() -> None:
    """Give the records of all modules that were built so far what was seen of their tensors, where
    a recording is still going on."""
    if (recording := _recording.get()) is not None:
        recording.update_records()


def _new(cls: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    above = super(nn.Module, cls).__new__
    module: nn.Module = above(cls) if above is object.__new__ else above(cls, *args, **kwargs)
    if (recording := _recording.get()) is not None:
        recording.add(module)
        if sys._getframe(1).f_code is not NEW_COPY:
            record = module.__dict__[KEY] = ConstructionRecord(args, kwargs)
            record.order = recording.tracer.histories.tick()
            record.lazy = issubclass(cls, LazyModuleMixin)
        if is_open((args, kwargs)) and is_leaf(cls):
            _construct(module, args, kwargs)
    return module


def _construct(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Run the constructor with the default values, in place of the call that is to follow."""
    cls: Any = type(module)
    record = module.__dict__[KEY]
    args, kwargs = replace_open((args, dict(kwargs)), lambda value: decided(value.default))
    try:
        cls.__init__(module, *args, **kwargs)
    except RunnerError:
        raise
    except Exception as error:
        raise SymbolicError(
            f"{users_line()}: {cls.__name__} cannot be built with the values of the default model, "
            f"{args} {kwargs}: {type(error).__name__}: {error}"
        ) from error
    module.__dict__[KEY] = record
    module.__class__ = _constructed(cls)


@functools.cache
def _constructed(cls: type) -> type:
    """The class that objects of a leaf class have until the call that follows is over."""
    body = {"__init__": _finish, "_runner_class": cls, "__module__": cls.__module__}
    return type(cls.__name__, (cls,), body)


def _finish(module: nn.Module, *args: Any, **kwargs: Any) -> None:
    """The constructor of an object that is built already: gives it back its class."""
    module.__class__ = module._runner_class  # type: ignore[assignment]
