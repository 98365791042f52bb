"""Construction records: how modules were constructed, and how their tensors were initialized.

    with recording() as record:
        model = Net()
    record_of(model.head).args      # the arguments of its constructor
    record_of(model).fills          # calls of nn.init and the like in the constructor of Net
    record_of(model).origins        # the calls that made its own parameters and buffers
    record.origin(tensor), record.fills

Constructors: `nn.Module` defines no `__new__`, so one installed there receives the constructor
arguments of every subclass, without changes to any of them. CPython cannot undo this (a class that
once had a `__new__` rejects arguments after its deletion), so it stays, enabled by `recording`. A
torch.nn layer, or a class with @basic_unit, that is passed a symbolic value is built with the
default instead. The object has exactly its class; only its record holds the original arguments.

Tensors: `tracer` observes the calls on them, `initial_values` defines their records.
"""

import copyreg
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, final
from weakref import ref

from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from runner.errors import RunnerError, SymbolicError
from runner.nn.recording.attribution import Attribution
from runner.nn.recording.initial_values import Fill, Owned, RecordedCall, with_copies
from runner.nn.recording.tracer import TensorTracer
from runner.nn.values.build import is_leaf, is_scripted
from runner.nn.values.expression import is_symbolic, replace_symbolic
from runner.nn.values.frames import KEY as KEY
from runner.nn.values.frames import users_line
from runner.nn.values.value import decided
from runner.unregistered import unregistered

NEW_COPY = getattr(copyreg, "__newobj__").__code__  # noqa: B009, allocates a copy without __init__


@final
class ConstructionRecord:
    """The construction of a module. Copied with the module, never pickled.

    - `args`, `kwargs`: the arguments that the caller passed.
    - `lazy`: whether it was constructed as a lazy module, whose shapes were not yet known.
    - `order`: the time of construction on the clock of the recording.
    - `copied`: whether it is a deep copy, made during a recording, of another module: it shares the
      initial values of that one, whereas a constructor call would draw new ones.
    - `asked`: whether its constructor, directly or not, asked for a choice of a sample: without the
      sample, the same call makes another module.
    - `origins`: the origins of its own parameters and buffers: a RecordedCall, an Owned (if another
      module owns the tensor), or None if unknown. Tensors made by the constructor of a torch.nn
      layer or a basic unit are omitted.
    - `random`: the names of its own parameters and buffers whose initial values may depend on
      random numbers.
    - `fills`: in order, the calls by which its constructor changed its tensors, or those of modules
      below it, in place.

    The last three are set when the recording ends.
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
    """Returns an argument with its lists and dicts copied, so that later changes do not show."""
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
    """Returns the record of a module; None if it was built outside `recording`, or compiled by
    TorchScript, whose constructor takes arguments that only the compiler makes."""
    if is_scripted(type(module)):
        return None
    return module.__dict__.get(KEY)


@final
class Recording:
    """A recording of all modules that are built during it; see `ConstructionRecord`."""

    def __init__(self) -> None:
        self.tracer = TensorTracer()
        self.fills: list[Fill] = []  # of all modules, in order; set when the recording ends
        self._modules: list[ref[nn.Module]] = []

    def add(self, module: nn.Module) -> None:
        """Adds a new module to the recording."""
        self._modules.append(ref(module))

    def origin(self, tensor: Tensor) -> RecordedCall | None:
        """Returns the call that made a tensor; None if it is unknown, or if the constructor of a
        torch.nn layer or a basic unit made the tensor."""
        return self._attribution().origin(tensor)

    def update_records(self) -> None:
        """Updates the record of each module with the history of its tensors."""
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
    """Records how all modules built inside the block are constructed and initialized."""
    if "__new__" not in vars(nn.Module):
        nn.Module.__new__ = staticmethod(_new)  # type: ignore[assignment]
    if (record := _recording.get()) is not None:  # a nested recording joins the outer one
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
    """Updates the records of all modules built so far with the histories of their tensors, if a
    recording is in progress."""
    if (recording := _recording.get()) is not None:
        recording.update_records()


def _new(cls: type[nn.Module], /, *args: Any, **kwargs: Any) -> nn.Module:
    above = super(nn.Module, cls).__new__
    module: nn.Module = above(cls) if above is object.__new__ else above(cls, *args, **kwargs)
    if (recording := _recording.get()) is not None:
        recording.add(module)
        if sys._getframe(1).f_code is not NEW_COPY:
            record = module.__dict__[KEY] = ConstructionRecord(args, kwargs)
            record.order = recording.tracer.histories.tick()
            record.lazy = issubclass(cls, LazyModuleMixin)
        if is_symbolic((args, kwargs)) and is_leaf(cls):
            _construct(module, args, kwargs)
    return module


def _construct(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Runs the constructor with default values, in place of the call of `__init__` that follows."""
    cls: Any = type(module)
    record = module.__dict__[KEY]
    args, kwargs = replace_symbolic((args, dict(kwargs)), lambda value: decided(value.default))
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


def _constructed(cls: type) -> type:
    """Returns the temporary class of objects of a leaf class until their `__init__` is called."""
    body = {"__init__": _finish, "_runner_class": cls, "__module__": cls.__module__}
    made: type = unregistered(type, cls.__name__, (cls,), body)
    return made


def _finish(module: nn.Module, *args: Any, **kwargs: Any) -> None:
    """Restores the class of an object that is already built; the `__init__` of that class."""
    module.__class__ = module._runner_class  # type: ignore[assignment]
