"""Frames of the call stack: the modules that are being built or run, and the line of the user."""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from torch import nn

KEY = "_runner_record"  # the key of a module's construction record in its `__dict__`
DEPTH = 8  # number of frames that are searched


def constructing(frame: FrameType | None) -> nn.Module | None:
    """Returns the innermost module whose constructor is running, if any."""
    while frame is not None:
        if frame.f_code.co_name == "__init__" and isinstance(
            module := first_argument(frame), nn.Module
        ):
            return module
        frame = frame.f_back
    return None


def note_asking(frame: FrameType | None) -> None:
    """Sets `asked` in the records of all modules whose constructors are running."""
    while frame is not None:
        module = first_argument(frame) if frame.f_code.co_name == "__init__" else None
        record = vars(module).get(KEY) if isinstance(module, nn.Module) else None
        if record is not None:
            record.asked = True
        frame = frame.f_back


def is_running() -> bool:
    """Returns whether a module is being called (its `forward` runs), by the innermost frames."""
    calls = nn.Module._call_impl.__code__
    return any(frame.f_code is calls for frame in up(sys._getframe(1)))


def users_line() -> str:
    """Returns "file:line" of the innermost frame outside `runner.nn`, torch and `contextlib`, by
    which a block of `runner.nn` is entered."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in ("torch", "contextlib") and not name.startswith(
            "runner.nn."
        ):
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def up(frame: FrameType | None) -> Iterator[FrameType]:
    """Yields a frame and those that called it, up to DEPTH frames."""
    for _ in range(DEPTH):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def first_argument(frame: FrameType) -> Any:
    """Returns the first argument of the function of a frame."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
