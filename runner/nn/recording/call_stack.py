"""Inspection of the Python call stack: which code called a torch function."""

import dis
import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

from torch import Tensor, nn

from runner.nn.recording.initial_values import RecordedCall
from runner.nn.values.frames import first_argument, up
from runner.operators import overwrites

INIT = "torch.nn.init"
BETWEEN = ("torch.overrides", "torch.utils._device", "runner.nn.recording.tracer")  # pass calls on
LITERAL = (bool, int, float, str, type(None))


def caller(frame: FrameType) -> FrameType:
    """Returns the frame that called a torch function, outside the modules that pass calls on."""
    while frame.f_back is not None and frame.f_globals.get("__name__") in BETWEEN:
        frame = frame.f_back
    return frame


# Functions of nn.init


def initializer(frame: FrameType | None) -> FrameType | None:
    """Returns the frame of the function of nn.init that made a call, if one did."""
    found = None
    while frame is not None:
        home = frame.f_globals.get("__name__")
        if home == INIT:
            found = frame
        elif home not in BETWEEN:
            break
        frame = frame.f_back
    return found


def fills(run: FrameType) -> bool:
    """Returns whether a frame is of a function of nn.init that fills a tensor."""
    return run.f_code.co_name.endswith("_") and run.f_code.co_varnames[0] == "tensor"


def initializer_call(run: FrameType, order: int) -> tuple[Tensor, RecordedCall]:
    """Returns the tensor that an initializer fills, and its call without default arguments."""
    home, name = run.f_globals["__name__"], run.f_code.co_name
    function: Callable[..., Any] = run.f_globals[name]
    first, *others = inspect.signature(function).parameters.values()
    given = {p.name: run.f_locals[p.name] for p in others}
    changed = {p.name: given[p.name] for p in others if given[p.name] != p.default}
    return run.f_locals[first.name], RecordedCall(f"{home}:{name}", function, (), changed, order)


# Similar functions of libraries


def filler(frame: FrameType | None, keeps: Callable[[CodeType], bool]) -> FrameType | None:
    """Returns the frame of the outermost initializer of a library or user that made a call, such as
    timm's `trunc_normal_`, or None. It must be named like an initializer, be importable, and take
    the tensor first and otherwise literals, which it keeps: `keeps` is `keeps_arguments`."""
    found = None
    for run in up(frame):
        if isinstance(first_argument(run), nn.Module):
            break
        if overwrites(run.f_code.co_name) and _is_filler(run, keeps):
            found = run
    return found


def starts_over(function: Any, args: tuple[Any, ...], run: FrameType) -> bool:
    """Returns whether a call overwrites the whole tensor that was passed to the frame."""
    if not overwrites(getattr(function, "__name__", "")):
        return False
    changed, given = args[0], first_argument(run)
    same = changed.shape == given.shape and changed.stride() == given.stride()
    return bool(same and changed.data_ptr() == given.data_ptr())


def _is_filler(run: FrameType, keeps: Callable[[CodeType], bool]) -> bool:
    home, code = run.f_globals.get("__name__"), run.f_code
    function = vars(sys.modules.get(str(home), sys)).get(code.co_name)
    inner = inspect.unwrap(function) if callable(function) else None
    if home == "__main__" or not isinstance(inner, FunctionType) or inner.__code__ is not code:
        return False
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    literal = all(isinstance(run.f_locals.get(name), LITERAL) for name in names)
    return literal and isinstance(first_argument(run), Tensor) and keeps(code)


def keeps_arguments(code: CodeType) -> bool:
    """Returns whether a function never rebinds its parameters and takes no `*args, **kwargs`."""
    if code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return False
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    changed: set[Any] = set()
    for step in dis.get_instructions(code):
        if step.opname.startswith(("STORE_", "DELETE_")):
            changed |= {*step.argval} if isinstance(step.argval, tuple) else {step.argval}
    return changed.isdisjoint(arguments)
